"""For whoever owns an action of Guichet: declare it, write the function that performs it, serve it.

::

    from dataclasses import dataclass
    from guichet_provider import Context, provider, team

    @dataclass
    class Hello:
        name: str

    async def say_hello(ctx: Context, hello: Hello) -> str:
        return f"Hello, {hello.name}, says {ctx.principal.name}"

    provider("greeter").action("say-hello", say_hello).approval(team("dba")).serve()

It decides nothing: whether a person may do this, and who must approve, is settled before the call arrives. The whole of what
it shares with the gateway is ``docs/provider-protocol.md``. Begin reading at `provider`, then ``call.py``: the way of one call.
"""

from .call import App
from .context import Context
from .declare import Action, ApprovalBy, OptionsFrom, Table, from_, owner, table, team
from .errors import ActionError, Mistakes
from .keys import Keys
from .plan import Plan
from .provider import Provider, provider
from .registration import Registration
from .settings import Settings
from .token import Principal

__all__ = [
    "Action",
    "ActionError",
    "App",
    "ApprovalBy",
    "Context",
    "Keys",
    "Mistakes",
    "OptionsFrom",
    "Plan",
    "Principal",
    "Provider",
    "Registration",
    "Settings",
    "Table",
    "from_",
    "owner",
    "provider",
    "table",
    "team",
]
