//! A mail over SMTP: one for each person, plain text, with an id of its own that is the same in every repetition.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use guichet_contract::{Addressee, Clock, Message};
use guichet_operations::NotDelivered;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        Error,
        authentication::Credentials,
        client::{Certificate, Tls as LettreTls, TlsParameters},
    },
};
use secrecy::ExposeSecret as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    card,
    causes::with_causes,
    settings::{MailSettings, Tls},
};

/// Connections to one server at once.
const AT_ONCE: usize = 4;

/// A mail server, ready.
pub struct Mail {
    from: Mailbox,
    address: Option<String>,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    free: Semaphore,
}

impl Mail {
    /// Ready to send. No connection is made yet.
    ///
    /// # Errors
    /// What is wrong with an address, a host name or a certificate.
    pub fn new(settings: &MailSettings, timeout: Duration) -> Result<Self, String> {
        let from = check_from(&settings.from)?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.server)
            .port(settings.port)
            .timeout(Some(timeout))
            .tls(tls(settings)?);
        if let Some((user, password)) = &settings.credentials {
            builder =
                builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
        }
        Ok(Self {
            from,
            address: settings.address.clone(),
            transport: builder.build(),
            free: Semaphore::new(AT_ONCE),
        })
    }

    /// Waits until there are not too many connections to the server. Dropping what is given makes place for the next.
    pub(crate) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed, so there always is a place at last.
        self.free.acquire().await.ok()
    }

    /// Sends it once.
    pub(crate) async fn send(
        &self,
        to: &Addressee,
        message: &Message,
        clock: &dyn Clock,
    ) -> Result<(), NotDelivered> {
        let mail = self.mail(to, message, clock).map_err(NotDelivered::Never)?;
        self.transport.send(mail).await.map(|_| ()).map_err(|error| judge(&error))
    }

    fn mail(&self, to: &Addressee, message: &Message, clock: &dyn Clock) -> Result<lettre::Message, String> {
        let address = self.address_of(to)?;
        let host = self.from.email.domain();
        // Threads by run; a repetition has the id of the first, so that a mail program shows one.
        let thread = format!("<{}@{host}>", message.run);
        let id = format!("<{}.{}@{host}>", message.id, hexadecimal(&to.name));
        lettre::Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(card::subject(message))
            .date(SystemTime::from(clock.now()))
            .message_id(Some(id))
            .references(thread)
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .header(ContentType::TEXT_PLAIN)
            .body(card::text(message))
            .map_err(|error| format!("the mail cannot be written: {error}"))
    }

    fn address_of(&self, to: &Addressee) -> Result<Address, String> {
        let text = match (&to.email, &self.address) {
            (Some(email), _) => email.clone(),
            (None, Some(pattern)) => pattern.replace("{name}", &to.name),
            (None, None) => {
                return Err(format!(
                    "no address of mail is known of {}: add one to `people` of the registry",
                    to.name
                ));
            }
        };
        text.parse().map_err(|_| {
            // The address itself stands in no log of deliveries.
            format!(
                "what is known of {} is no address of mail: give them one in `people` of the registry",
                to.name
            )
        })
    }
}

/// The sender.
///
/// # Errors
/// What is wrong with it.
pub fn check_from(from: &str) -> Result<Mailbox, String> {
    from.parse()
        .map_err(|error| format!("`{from}` is no sender ({error}): write `Guichet <guichet@example.org>`"))
}

fn tls(settings: &MailSettings) -> Result<LettreTls, String> {
    if settings.tls == Tls::None {
        return Ok(LettreTls::None);
    }
    let mut parameters = TlsParameters::builder(settings.server.clone());
    if let Some(pem) = &settings.authorities {
        let authority = Certificate::from_pem(pem)
            .map_err(|error| format!("the authorities in `ca_file` cannot be read: {error}"))?;
        parameters = parameters.add_root_certificate(authority);
    }
    let parameters = parameters.build().map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(match settings.tls {
        Tls::Tls => LettreTls::Wrapper(parameters),
        Tls::Starttls | Tls::None => LettreTls::Required(parameters),
    })
}

/// A 5xx about a recipient or a message stays so. One about who we are (530, 534, 535, 538) is the operators' to mend, and
/// the mail can wait for that.
fn judge(error: &Error) -> NotDelivered {
    let code = error.status().map(|code| code.to_string());
    let about_us = matches!(code.as_deref(), Some("530" | "534" | "535" | "538"));
    // The words of a mail server name who is written to; they stand in our log, and in no log of deliveries.
    let why = code.map_or_else(
        || with_causes(error),
        |code| {
            tracing::debug!(error = with_causes(error), "the mail server's answer");
            format!("the mail server answered {code}")
        },
    );
    if error.is_permanent() && !about_us { NotDelivered::Never(why) } else { NotDelivered::later(why) }
}

/// A name as it can stand in an id.
fn hexadecimal(name: &str) -> String {
    name.bytes().fold(String::with_capacity(2 * name.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}
