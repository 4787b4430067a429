//! `guichetd provider`: a service with an OpenAPI document becomes a provider in one command. It is asked for its document first,
//! what would become usable is told, and only then a file is written, which a running gateway takes over.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use guichet_contract::SystemClock;
use guichet_dispatch::transport;
use guichet_operations::offer::Offer;
use toml::{Table, Value};

use super::{fail, say};
use crate::{
    config::{Config, ProviderConfig, Reached},
    provider_folder,
    providers::{Wiring, read_offer},
    whole_file::write_whole,
};

/// Warnings that are told one by one.
const TOLD: usize = 20;

/// What is added.
#[derive(Debug, Clone, Args)]
pub struct Adding {
    /// The name: a–z, 0–9 and -; the first word of its commands.
    pub name: String,
    /// Its OpenAPI document (3.1, 3.0 or Swagger 2.0; JSON or YAML): an address or a file.
    #[arg(long, value_name = "URL|FILE")]
    pub openapi: String,
    /// Where it answers; without it, what the document says.
    #[arg(long)]
    pub url: Option<String>,
    /// An OpenAPI Overlay (1.0): what is added to the document, such as `x-guichet`.
    #[arg(long, value_name = "FILE")]
    pub overlay: Option<PathBuf>,
    /// What it is shown of the gateway.
    #[arg(long, value_enum)]
    pub auth: Option<AuthKind>,
    /// With `--auth header`: the header's name.
    #[arg(long)]
    pub header: Option<String>,
    /// With `--auth basic`: the user's name.
    #[arg(long)]
    pub user: Option<String>,
    /// With `--auth oauth2`: where tokens are asked for.
    #[arg(long)]
    pub token_url: Option<String>,
    /// With `--auth oauth2`: who the gateway is there.
    #[arg(long)]
    pub client_id: Option<String>,
    /// With `--auth oauth2`: what the token is for.
    #[arg(long)]
    pub scope: Option<String>,
    /// The environment variable of the gateway that holds the secret.
    #[arg(long, value_name = "VARIABLE")]
    pub secret_env: Option<String>,
    /// The file that holds the secret.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// The authorities to believe instead of the system's, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The gateway's own certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub certificate_file: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "certificate_file")]
    pub key_file: Option<PathBuf>,
    /// An address beside its own that its document may send calls to; may be given several times.
    #[arg(long, value_name = "URL")]
    pub server: Vec<String>,
    /// Only tell what would become usable.
    #[arg(long)]
    pub dry_run: bool,
}

/// How it knows who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthKind {
    /// A header of its own.
    Header,
    /// Name and password.
    Basic,
    /// A token.
    Bearer,
    /// OAuth 2.0, client credentials.
    Oauth2,
}

/// Asks the service for its document, tells what is usable of it, and adds it.
///
/// # Errors
/// Whatever keeps it from being used; then nothing is written.
pub fn add(config: &Path, adding: &Adding) -> anyhow::Result<ExitCode> {
    let config = load(config)?;
    let name = &adding.name;
    if config.providers.iter().any(|known| known.name == *name) {
        bail!(
            "there is a provider called `{name}` already: `guichetd provider remove {name}` removes it, or choose another name"
        );
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("no async runtime")?;
    let (text, offer) = runtime.block_on(tried(&config, adding))?;
    say(&table(&offer));
    if offer.actions.is_empty() {
        return Ok(fail("nothing of this document is usable, so nothing was added"));
    }
    let file = provider_folder::file_of(&config.provider_folder, name);
    if adding.dry_run {
        say(&format!("{} would say:\n\n{text}", file.display()));
        return Ok(ExitCode::SUCCESS);
    }
    fs::create_dir_all(&config.provider_folder)
        .with_context(|| format!("{} cannot be made", config.provider_folder.display()))?;
    write_whole(&file, text.as_bytes(), 0o644)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    say(&format!(
        "{} was written; a running gateway takes it over within a second or two. Nothing of it is allowed until a policy permits it.",
        file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The file's text, and what the service offers when it is reached so.
async fn tried(config: &Config, adding: &Adding) -> anyhow::Result<(String, Arc<Offer>)> {
    let client = transport::http_client().context("the HTTP client cannot be made")?;
    let wiring = Wiring::new(None, client, Arc::new(SystemClock))?;
    let is_url = adding.openapi.contains("://");
    // Until the document tells where its service is, it is only asked for itself.
    let first = match &adding.url {
        Some(url) => url.clone(),
        None if is_url => guichet_dispatch::provider::origin(&adding.openapi),
        None => "http://localhost".to_owned(),
    };
    let text = told(adding, &first)?;
    let offer = read_offer(&wiring, &parsed(config, adding, &text)?).await?;
    if adding.url.is_some() {
        return Ok((text, offer));
    }
    let url = base(adding, offer.server.as_deref())?;
    let text = told(adding, &url)?;
    parsed(config, adding, &text)?;
    say(&format!("the document says that its service answers at {url}"));
    Ok((text, offer))
}

/// Where the service answers, by its document.
fn base(adding: &Adding, server: Option<&str>) -> anyhow::Result<String> {
    let is_url = adding.openapi.contains("://");
    let own = guichet_dispatch::provider::origin(&adding.openapi);
    match server {
        Some(server) if server.contains("://") => {
            // A document must not choose who is shown a secret.
            let elsewhere = !is_url || guichet_dispatch::provider::origin(server) != own;
            ensure!(
                adding.auth.is_none() && adding.certificate_file.is_none() || !elsewhere,
                "the document says that its service answers at {server}, which is not where the document came from: if the secret may go \
                 there, say so with `--url {server}`"
            );
            Ok(server.to_owned())
        }
        _ if !is_url => bail!("the document does not say where its service answers: give `--url`"),
        Some(path) if path.starts_with('/') => Ok(format!("{own}{path}")),
        Some(path) => {
            let folder = adding.openapi.rsplit_once('/').map_or(own.as_str(), |(folder, _)| folder);
            Ok(format!("{folder}/{}", path.trim_start_matches("./")))
        }
        None => Ok(own),
    }
}

/// What the file says.
fn told(adding: &Adding, url: &str) -> anyhow::Result<String> {
    let path = |path: &Path| -> anyhow::Result<Value> {
        let path = std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))?;
        Ok(Value::from(path.to_string_lossy().into_owned()))
    };
    let mut file = Table::new();
    let openapi = if adding.openapi.contains("://") {
        Value::from(adding.openapi.as_str())
    } else {
        path(Path::new(&adding.openapi))?
    };
    file.insert("openapi".into(), openapi);
    file.insert("url".into(), url.into());
    if let Some(overlay) = &adding.overlay {
        file.insert("overlay".into(), path(overlay)?);
    }
    if !adding.server.is_empty() {
        file.insert("servers".into(), Value::from(adding.server.clone()));
    }
    let texts = [
        ("header", &adding.header),
        ("user", &adding.user),
        ("token_url", &adding.token_url),
        ("client_id", &adding.client_id),
        ("scope", &adding.scope),
        ("secret_env", &adding.secret_env),
    ];
    let mut auth = Table::new();
    for (name, text) in texts {
        auth.extend(text.as_ref().map(|text| (name.to_owned(), Value::from(text.as_str()))));
    }
    if let Some(secret) = &adding.secret_file {
        auth.insert("secret_file".into(), path(secret)?);
    }
    match adding.auth.and_then(|kind| Some(kind.to_possible_value()?.get_name().to_owned())) {
        Some(kind) => {
            auth.insert("kind".into(), kind.into());
            file.insert("auth".into(), Value::Table(auth));
        }
        None => ensure!(
            auth.is_empty(),
            "{} belongs to `--auth`: say which of header, basic, bearer and oauth2 it is",
            auth.keys().map(|name| format!("--{}", name.replace('_', "-"))).collect::<Vec<_>>().join(", ")
        ),
    }
    let mut tls = Table::new();
    for (name, given) in [
        ("ca_file", &adding.ca_file),
        ("certificate_file", &adding.certificate_file),
        ("key_file", &adding.key_file),
    ] {
        if let Some(given) = given {
            tls.insert(name.into(), path(given)?);
        }
    }
    if !tls.is_empty() {
        file.insert("tls".into(), Value::Table(tls));
    }
    Ok(toml::to_string(&file)?)
}

/// As the gateway will read it.
fn parsed(config: &Config, adding: &Adding, text: &str) -> anyhow::Result<ProviderConfig> {
    let file = provider_folder::file_of(&config.provider_folder, &adding.name);
    let read = provider_folder::one(&file, text, &mut BTreeSet::new(), &mut Vec::new());
    read.map_err(|faults| {
        let faults: Vec<String> = faults.into_iter().map(|fault| fault.message).collect();
        anyhow::anyhow!("{}; nothing was added", faults.join("\n"))
    })
}

/// What is usable, and what is not and why.
fn table(offer: &Offer) -> String {
    let mut text = String::new();
    let rows: Vec<(String, &str, &str)> = offer
        .actions
        .iter()
        .map(|action| (action.command.join(" "), action.effect.as_str(), action.title.as_str()))
        .collect();
    let width =
        rows.iter().map(|(command, ..)| command.chars().count()).max().unwrap_or_default().clamp(7, 70);
    let _ = writeln!(text, "{:width$}  {:8}TITLE", "COMMAND", "EFFECT");
    for (command, effect, title) in rows {
        let title: String = title.chars().filter(|letter| !letter.is_control()).take(80).collect();
        let _ = writeln!(text, "{command:width$}  {effect:8}{title}");
    }
    let _ = write!(text, "\n{} usable, {} refused, ", offer.actions.len(), offer.refused.len());
    let odd = offer.odd.len() - offer.refused.len().min(offer.odd.len());
    let _ = writeln!(text, "{odd} {}", if odd == 1 { "warning" } else { "warnings" });
    for refused in &offer.refused {
        let _ = writeln!(text, "refused: {refused}");
    }
    let is_refused = |odd: &&String| offer.refused.iter().any(|refused| odd.contains(&refused.message));
    for warning in offer.odd.iter().filter(|odd| !is_refused(odd)).take(TOLD) {
        let _ = writeln!(text, "warning: {warning}");
    }
    if odd > TOLD {
        let _ = writeln!(text, "and {} more; `guichetd check` tells all of them", odd - TOLD);
    }
    text
}

/// Removes a provider that has a file of its own.
///
/// # Errors
/// One that has none.
pub fn remove(config: &Path, name: &str) -> anyhow::Result<ExitCode> {
    let config = load(config)?;
    ensure!(
        config.providers.iter().any(|known| known.name == name),
        "no provider is called `{name}`; `guichetd provider list` shows those there are"
    );
    let file = provider_folder::file_of(&config.provider_folder, name);
    ensure!(
        file.exists(),
        "the provider `{name}` stands in {}: take its [[provider]] out there",
        config.file.display()
    );
    fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
    say(&format!("{} was removed; a running gateway lets go of it within a second or two", file.display()));
    Ok(ExitCode::SUCCESS)
}

/// All providers that are configured.
///
/// # Errors
/// A configuration that cannot be used.
pub fn list(config: &Path) -> anyhow::Result<ExitCode> {
    let config = load(config)?;
    let mut rows = vec![["NAME", "ANSWERS AT", "SHOWN", "OVERLAY", "TOLD OF IN"].map(str::to_owned)];
    for provider in &config.providers {
        let (at, shown) = match &provider.reached {
            Reached::Embedded { kind, .. } => (format!("built in: {kind}"), "token".to_owned()),
            Reached::Url(url) => (url.clone(), "token".to_owned()),
            Reached::Service(service) => (service.url.clone(), format!("{:?}", service.auth)),
        };
        let own = provider_folder::file_of(&config.provider_folder, &provider.name);
        let file = if own.exists() { own } else { config.file.clone() };
        let overlay =
            provider.overlay.as_ref().map_or("-".to_owned(), |overlay| overlay.file.display().to_string());
        rows.push([provider.name.clone(), at, shown, overlay, file.display().to_string()]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 4] = std::array::from_fn(width);
    for row in &rows {
        let [name, at, shown, overlay, file] = row;
        let [a, b, c, d] = widths;
        say(&format!("{name:a$}  {at:b$}  {shown:c$}  {overlay:d$}  {file}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn load(config: &Path) -> anyhow::Result<Config> {
    Config::load(config).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the configuration is not usable:\n{}", faults.join("\n"))
    })
}
