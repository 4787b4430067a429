//! `guichet logout`: ends the session at the gateway and forgets it here.

use crate::{
    commands::Cx, credentials::Credentials, exit::Exit, failure::Failure, printer::Printer, settings,
};

pub(crate) fn run(cx: &Cx, printer: &Printer) -> Result<Exit, Failure> {
    let context = cx.settings.context()?;
    let token = Credentials::load(&cx.settings.config_dir)?.token(&context.gateway).cloned();
    let Some(token) = token else {
        printer.note(&format!("there was no session with {}", context.gateway));
        return Ok(Exit::Done);
    };
    let client = settings::connect(context, Some(token))?;
    let ended = super::runtime()?.block_on(client.sign_out());
    // Forgotten here in any case: whoever says logout wants the token gone from this machine.
    Credentials::forget(&cx.settings.config_dir, &context.gateway)?;
    match ended.map_err(Failure::from) {
        Ok(()) | Err(Failure::Problem(Exit::NotSignedIn, _)) => {
            printer.outcome(Exit::Done, &format!("signed out: {}", context.gateway));
            Ok(Exit::Done)
        }
        Err(failure) => {
            printer
                .note("the token was removed from this machine, but the gateway could not end the session:");
            Err(failure)
        }
    }
}
