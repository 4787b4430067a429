"""A real SMTP server (aiosmtpd) on loopback, for tests. Takes its settings as JSON in its argument; writes JSON to
standard output, a line each: first its port, then every mail that it took. Ends when its standard input does."""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

settings = json.loads(sys.argv[1])
refusals = {"left": settings["refuse_first"]}


def tell(value):
    print(json.dumps(value), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return "550 5.1.1 nobody of this name"
        if address.startswith("later@"):
            return "451 4.3.0 come back later"
        if address.startswith("hangs@"):
            await asyncio.sleep(600)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if refusals["left"] > 0:
            refusals["left"] -= 1
            return "451 4.3.0 come back later"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        tell({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": {name.lower(): str(value) for name, value in mail.items()},
            "text": mail.get_content(),
            "tls": session.ssl is not None or settings["tls"] == "tls",
            "user": session.auth_data.login.decode() if session.authenticated else None,
        })
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data.password.decode() == settings["password"]
    return AuthResult(success=good, handled=good, auth_data=data)


def protocol():
    context = None
    if settings["tls"] == "starttls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings["certificate"], settings["key"])
    wanted = settings["password"] is not None
    return SMTP(
        Handler(),
        hostname="mail.test",
        tls_context=context,
        require_starttls=context is not None,
        authenticator=authenticate,
        auth_required=wanted,
        auth_require_tls=False,
    )


async def main():
    context = None
    if settings["tls"] == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings["certificate"], settings["key"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context)
    tell({"port": server.sockets[0].getsockname()[1]})
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(main())
