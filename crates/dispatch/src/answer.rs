//! From a provider's answer to what it means. The head decides whether it was done; what cannot be read after a good
//! head of a change is `Silent`, because then nobody can say.

use bytes::{Bytes, BytesMut};
use guichet_contract::{Effect, Problem, code, depth};
use guichet_operations::ProviderError;
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::{foreign, provider::Provider, transport::AnswerBody};

/// Why a body could not be read.
#[derive(Debug)]
pub(crate) enum BodyError {
    TooLarge(usize),
    Cut(String),
}

pub(crate) async fn read_body(mut body: AnswerBody, limit: usize) -> Result<Bytes, BodyError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Cut(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            if read.len() + data.len() > limit {
                return Err(BodyError::TooLarge(limit));
            }
            read.extend_from_slice(&data);
        }
    }
    Ok(read.freeze())
}

/// The result, when the provider says that it is done.
pub(crate) async fn result(
    provider: &Provider,
    effect: Effect,
    response: Response<AnswerBody>,
) -> Result<Value, ProviderError> {
    let (head, body) = response.into_parts();
    let body = read_body(body, provider.limits.answer_bytes).await;
    if !head.status.is_success() {
        return Err(failure(provider, effect, head.status, &head.headers, &body.unwrap_or_default()));
    }
    match body {
        Ok(body) if body.is_empty() => Ok(Value::Null),
        // Its own document says of what kind its answers are; that it was done, its status says.
        Ok(body) if provider.foreign.is_some() => Ok(foreign::result(&head.headers, &body)),
        Ok(body) => parse(&head.headers, &body).map_err(|why| {
            unreadable(
                provider,
                effect,
                code::PROVIDER_PROTOCOL,
                &format!("answered {} with a body that is no JSON: {why}", head.status),
            )
        }),
        Err(BodyError::TooLarge(limit)) => Err(unreadable(
            provider,
            effect,
            code::PROVIDER_PROTOCOL,
            &format!("answered {} with more than {limit} bytes", head.status),
        )),
        Err(BodyError::Cut(why)) => Err(unreadable(
            provider,
            effect,
            code::PROVIDER_SILENT,
            &format!("answered {} and then closed the connection: {why}", head.status),
        )),
    }
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Value, String> {
    let kind =
        headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("application/json");
    if kind.starts_with("text/") {
        return Ok(Value::String(String::from_utf8_lossy(body).into_owned()));
    }
    let value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if depth::is_deeper_than(&value, depth::DEEPEST) {
        return Err(format!("it has more than {} levels", depth::DEEPEST));
    }
    Ok(value)
}

/// A good head whose body tells nothing: a read has failed, a change may have been done.
pub(crate) fn unreadable(
    provider: &Provider,
    effect: Effect,
    code: &'static str,
    what: &str,
) -> ProviderError {
    let problem = Problem::new(code, format!("provider {} {what}", provider.name));
    if effect == Effect::Read {
        ProviderError::Failed(problem.next("try again, or tell the provider's owners"))
    } else {
        ProviderError::Silent(
            problem.next("it may have been done: look at the resource before you submit it again"),
        )
    }
}

/// What an answer other than 2xx means.
pub(crate) fn failure(
    provider: &Provider,
    effect: Effect,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> ProviderError {
    let told: Option<Value> = serde_json::from_slice(body).ok().filter(|_| is_json(headers));
    let text = |name: &str| told.as_ref().and_then(|told| told.get(name)).and_then(Value::as_str);
    let detail = match foreign::message(told.as_ref(), headers, body) {
        Some(detail) => detail.chars().take(2_000).collect(),
        None if status.is_redirection() => {
            format!("provider {} answered {status}, and redirects are not followed", provider.name)
        }
        None => format!("provider {} answered {status}", provider.name),
    };
    if is_too_busy(provider, status, headers, told.as_ref()) {
        let next = text("next").unwrap_or("nothing was done; try again in a moment");
        return ProviderError::NotSent(Problem::new(code::PROVIDER_BUSY, detail).next(next));
    }
    let mut problem = Problem::new(code::PROVIDER_FAILED, detail);
    problem.next = text("next").map(str::to_owned);
    // The provider's "no" is the caller's affair; that the gateway was not let in (401, 407, a 403 in somebody else's words) or that the
    // provider broke is not.
    if status.is_client_error()
        && !matches!(status.as_u16(), 401 | 407 | 408 | 429)
        && (status != StatusCode::FORBIDDEN || is_problem(headers))
    {
        problem.status = status.as_u16();
    }
    if matches!(status.as_u16(), 401 | 407) {
        let shown = if provider.foreign.is_some() { "credentials" } else { "token" };
        problem.detail =
            format!("provider {} does not accept this gateway's {shown}: {}", provider.name, problem.detail);
    }
    // Only the provider's own "no" says that nothing was done: a 4xx, or a 5xx in the protocol's form. Whatever stands
    // between may say the rest (3xx, 408, a gateway's 5xx) after the call has arrived.
    let own_words = is_problem(headers) && status != StatusCode::REQUEST_TIMEOUT;
    let surely_not = status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT;
    if effect != Effect::Read && !surely_not && !own_words {
        return ProviderError::Silent(
            problem.next("it may have been done: look at the resource before you submit it again"),
        );
    }
    ProviderError::Failed(problem)
}

/// A 503 by whatever stands before a provider. In the provider's own words (a problem) it is about this one call: what that
/// needs is not there, or there is no room. Others may need something else, so they are not kept from trying.
pub(crate) fn says_that_it_is_down(provider: &Provider, status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::SERVICE_UNAVAILABLE && (provider.foreign.is_some() || !is_problem(headers))
}

/// Whether a provider says of itself that it did not take the call, so that it may be made again.
fn is_too_busy(provider: &Provider, status: StatusCode, headers: &HeaderMap, told: Option<&Value>) -> bool {
    provider.foreign.is_none()
        && status == StatusCode::SERVICE_UNAVAILABLE
        && is_problem(headers)
        && told.and_then(|told| told.get("code")).is_some_and(|said| said == code::PROVIDER_BUSY)
}

/// Whether it is a problem (RFC 9457), which by the protocol is the provider's own word.
pub(crate) fn is_problem(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/problem+json"))
}

/// Whether a refused plan means that the thing can no longer be done (and not that nobody was there to plan it).
pub(crate) fn is_a_no(problem: &Problem) -> bool {
    // `failure` hands on only a provider's own 4xx; everything else bears the code's 502.
    (400..500).contains(&problem.status)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.contains("json"))
}

/// Headers of an answer that are passed on: what describes the body, and a provider's own `x-…`. Everything else would
/// speak for the gateway to its callers and their caches (cookies, caching, authentication, cross-origin rules), or give
/// orders to the proxy before it (which file to send, where to ask next).
pub(crate) fn passed_on(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            PASSED_ON.contains(&name)
                || (name.starts_with("x-") && !KEPT_BACK.iter().any(|begin| name.starts_with(begin)))
        })
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

/// Beginnings of `x-…` that are no provider's own: browsers and proxies act on them.
const KEPT_BACK: &[&str] = &[
    "x-accel-",
    "x-content-",
    "x-dns-prefetch-",
    "x-forwarded-",
    "x-frame-",
    "x-lighttpd-",
    "x-litespeed-",
    "x-permitted-",
    "x-reproxy-",
    "x-send",
    "x-xss-",
];

const PASSED_ON: &[&str] = &[
    "content-type",
    "content-length",
    "content-encoding",
    "content-language",
    "content-disposition",
    "etag",
    "last-modified",
    "link",
    "retry-after",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credentials::Credentials,
        provider::{DocumentPlace, Foreign, Limits},
        transport::Transport,
    };
    use http::HeaderValue;

    #[test]
    fn a_provider_speaks_for_itself_and_gives_no_orders_to_proxies_and_browsers() {
        let passed = ["content-type", "etag", "x-total-count", "x-shop-region", "retry-after"];
        let kept_back = [
            "set-cookie",
            "location",
            "cache-control",
            "www-authenticate",
            "access-control-allow-origin",
            "x-frame-options",
            "x-content-type-options",
            "x-forwarded-for",
            "x-accel-redirect",
            "x-accel-buffering",
            "x-sendfile",
            "x-sendfile-temporary",
            "x-lighttpd-send-file",
            "x-litespeed-location",
            "x-reproxy-url",
        ];
        let mut headers = HeaderMap::new();
        for name in passed.iter().chain(&kept_back) {
            headers.insert(*name, HeaderValue::from_static("/etc/passwd"));
        }
        let mut told: Vec<String> = passed_on(&headers).into_iter().map(|(name, _)| name).collect();
        let mut expected = passed.map(str::to_owned).to_vec();
        told.sort();
        expected.sort();
        assert_eq!(told, expected);
    }

    #[test]
    fn what_one_call_needs_keeps_no_other_from_trying() {
        let own = || Provider::new("a", Transport::Embedded(axum::Router::new()), Limits::default());
        let foreign = own().with_foreign(Foreign {
            document: DocumentPlace::Url("http://127.0.0.1:1/openapi.json".to_owned()),
            credentials: Credentials::None,
            shows_token: false,
            servers: Vec::new(),
        });
        let is_down = |provider: &Provider, status: u16, kind: &'static str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            says_that_it_is_down(provider, StatusCode::from_u16(status).unwrap(), &headers)
        };
        let problem = "application/problem+json";
        assert!(is_down(&own(), 503, "text/html"), "something before it says so");
        assert!(!is_down(&own(), 503, problem), "it is there, and says that something else is not");
        assert!(!is_down(&own(), 500, problem));
        assert!(!is_down(&own(), 200, "application/json"));
        assert!(is_down(&foreign, 503, problem), "it knows nothing of the protocol");
        let busy = |provider: &Provider, status: u16, kind: &'static str, code: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            let body = serde_json::json!({"code": code, "detail": "no room"}).to_string();
            let status = StatusCode::from_u16(status).unwrap();
            match failure(provider, Effect::Change, status, &headers, body.as_bytes()) {
                ProviderError::NotSent(problem) => Some((problem.code, problem.detail)),
                _ => None,
            }
        };
        let told = busy(&own(), 503, problem, "provider-busy");
        assert_eq!(told, Some(("provider-busy".to_owned(), "no room".to_owned())));
        for (provider, status, kind, code) in [
            (&own(), 503, problem, "provider-failed"),
            (&own(), 503, "application/json", "provider-busy"),
            (&own(), 502, problem, "provider-busy"),
            (&foreign, 503, problem, "provider-busy"),
        ] {
            assert_eq!(busy(provider, status, kind, code), None, "{status} {kind} {code}");
        }
    }
}
