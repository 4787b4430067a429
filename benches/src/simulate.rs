//! Trying other policies on what was recorded: `guichet policy simulate` over everything that `ledger` wrote.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::{
    connection::Connection,
    figures::{Table, count},
    gateway::{Site, USER},
    server::Server,
    setting::Setting,
};

/// What other policies say more than those in force: one looks at who and what, one at the input of each call.
const TRIED: [(&str, &str); 2] = [
    (
        "a policy that reads who and what",
        r#"@id("not-shop-3") forbid (principal, action in Action::"read", resource) when { resource.path like "postgres/shop-3*" };"#,
    ),
    (
        "a policy that reads each input",
        r#"@id("not-so-many") forbid (principal, action == Action::"bench.list-7", resource) when { context.input has limit && context.input.limit > 400 };"#,
    ),
];

/// Starts a gateway on those files and asks it.
pub(crate) fn measure(setting: &Setting, site: &Site, records: u64) -> Result<String> {
    let provider = Server::role(setting, &["provider", &site.url])?;
    site.configure(setting, &[("bench", &provider.url)])?;
    let (mut gateway, token) = site.start(setting)?;
    gateway
        .wait_for(setting, "/v1/actions/bench.list-7", Some(&token), Instant::now())
        .with_context(|| site.log())?;
    let mut table = Table::new(&["simulated", "records", "seconds", "records a second", "would change"]);
    for (what, policy) in TRIED {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for entry in fs::read_dir(site.folder().join("policy"))? {
            let entry = entry?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?);
        }
        files.insert("tried.cedar".to_owned(), policy.to_owned());
        let body = json!({"policies": files, "days": 2}).to_string();
        let began = Instant::now();
        let told: Value = setting.runtime.block_on(async {
            let mut connection = Connection::open(&site.url).await?;
            let call = connection.call(Method::POST, "/v1/policy/simulate", Some(&token), body.into());
            let (status, body) = tokio::time::timeout(Duration::from_mins(30), call).await??;
            ensure!(status == 200, "{USER} was answered with {status}: {}", String::from_utf8_lossy(&body));
            Ok(serde_json::from_slice(&body)?)
        })?;
        let took = began.elapsed().as_secs_f64();
        let number = |member: &str| told[member].as_u64().unwrap_or_default();
        // All but the rare ones, which tell of no policy.
        ensure!(number("replayed") >= records / 100 * 99, "not everything was replayed: {told}");
        let changed: u64 = told["changes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| row["records"].as_u64().unwrap_or_default())
            .sum();
        table.row(&[
            what.to_owned(),
            count(float(number("replayed"))),
            format!("{took:.1}"),
            count(float(number("replayed")) / took),
            count(float(changed + number("more"))),
        ]);
    }
    Ok(table.into_text())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}
