//! The document, and what it does not name.

use guichet_contract::openapi::{self, Strictness};

use super::Ended;
use crate::{
    Kit,
    answer::{Answer, Not},
    call::causes,
};

async fn get(kit: &Kit, path: &str, known: Option<&str>) -> Result<Answer, Not> {
    let mut request = kit.client.get(kit.url(path)).timeout(std::time::Duration::from_secs(10));
    let mut sent = format!("GET {path}");
    if let Some(known) = known {
        request = request.header("if-none-match", known);
        sent = format!("{sent} with If-None-Match: {known}");
    }
    let none = |error: reqwest::Error| Not::held(&sent, "an answer", &causes(&error));
    let answer = request.send().await.map_err(none)?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = answer.bytes().await.map_err(none)?;
    Ok(Answer { sent, status, headers, body })
}

pub(super) async fn is_read(kit: &Kit) -> Ended {
    let answer = get(kit, "/openapi.json", None).await?;
    if answer.status != 200 || !answer.kind().starts_with("application/json") {
        return Err(answer.not("200 and application/json"));
    }
    let document = answer.json().ok_or_else(|| answer.not("a JSON document"))?;
    let reading = openapi::read(&kit.name, &document, Strictness::Strict);
    match reading.map(|reading| openapi::check_catalogue(&reading.actions)) {
        Ok(faults) if faults.is_empty() => Ok(()),
        Ok(faults) | Err(faults) => {
            let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Err(Not::held(&answer.sent, "a document that the gateway's reader takes", &told.join("; ")))
        }
    }
}

pub(super) async fn has_etag(kit: &Kit) -> Ended {
    let answer = get(kit, "/openapi.json", None).await?;
    let etag = answer.header("etag").ok_or_else(|| answer.not("a header ETag"))?;
    let same = get(kit, "/openapi.json", Some(etag)).await?;
    if same.status != 304 || !same.body.is_empty() {
        return Err(same.not("304 without a body"));
    }
    let other = get(kit, "/openapi.json", Some("\"another\"")).await?;
    if other.status == 200 { Ok(()) } else { Err(other.not("200 and the document: the ETag is another")) }
}

pub(super) async fn is_named(kit: &Kit) -> Ended {
    let document = get(kit, "/openapi.json", None).await?;
    let answer = kit.harmless()?.send().await?;
    match (answer.header("guichet-document"), document.header("etag")) {
        (None, _) => {
            Err(Not::Skipped("its answers do not carry Guichet-Document, which they need not".to_owned()))
        }
        (Some(told), Some(etag)) if told == etag => Ok(()),
        (Some(told), etag) => Err(Not::held(
            &answer.sent,
            &format!("Guichet-Document: {}", etag.unwrap_or("the ETag")),
            &format!("Guichet-Document: {told}"),
        )),
    }
}

pub(super) async fn unknown_path(kit: &Kit) -> Ended {
    let answer = get(kit, "/there/is/no/such/operation", None).await?;
    answer.problem(&[404], "what the document does not name").map(drop)
}
