//! Whoever is not known gets little of the gateway: no connection for silence, no record for each of many attempts.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::gateway::{Gateway, until};

fn connect(gateway: &Gateway) -> TcpStream {
    let url = gateway.nobody().url();
    let stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_says_nothing_or_not_enough_is_closed() {
    let gateway = Gateway::started("", "").await;
    let begun = ["", "PRI", "GET /v1/cat", "GET /healthz HTTP/1.1\r\nhost: x\r\n"].map(|begin| {
        let mut stream = connect(&gateway);
        stream.write_all(begin.as_bytes()).unwrap();
        stream
    });
    for mut stream in begun {
        let mut rest = Vec::new();
        // The end of the stream, and not the end of our patience.
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "what was sent was not read"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_of_http_are_spoken_on_one_port() {
    let gateway = Gateway::started("", "").await;
    let url = format!("{}/healthz", gateway.nobody().url());
    let builder = || reqwest::Client::builder().timeout(Duration::from_mins(1));
    let newer = builder().http2_prior_knowledge().build().unwrap();
    for (client, version) in
        [(builder().build().unwrap(), reqwest::Version::HTTP_11), (newer, reqwest::Version::HTTP_2)]
    {
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_invents_tokens_is_told_to_wait_and_colleagues_at_the_same_address_are_not() {
    let gateway = Gateway::started("", "[limits]\nrefusals_per_second = 5").await;
    let dana = gateway.sign_in("dana").await;
    let mut refused = 0;
    let mut told_to_wait = 0;
    for number in 0..60 {
        let invented = gateway.nobody().with_token(&format!("invented-{number}"));
        match invented.get("/v1/session").await.status {
            StatusCode::UNAUTHORIZED => refused += 1,
            StatusCode::TOO_MANY_REQUESTS => told_to_wait += 1,
            other => panic!("{other}"),
        }
        assert_eq!(dana.get("/v1/session").await.status, StatusCode::OK, "she is known");
    }
    assert!(refused >= 5 && told_to_wait > 0, "{refused} refused, {told_to_wait} told to wait");
    let recorded = dana.all("/v1/records?verb=identify").await.len();
    assert_eq!(recorded, refused, "who is told to wait costs no record");
}

/// What is answered before anybody looks who calls: with these, invented tokens are no way around either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_before_it_is_known_who_calls_counts_as_a_stranger() {
    for (method, path, body, status) in [
        (Method::GET, "/v1/nope", None, StatusCode::NOT_FOUND),
        (Method::DELETE, "/v1/catalogue", None, StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "/v1/session", Some(json!(["no session"])), StatusCode::BAD_REQUEST),
    ] {
        let gateway = Gateway::started("", "[limits]\nrefusals_per_second = 5").await;
        let dana = gateway.sign_in("dana").await;
        // What everybody may see makes no token a good one.
        let invented = gateway.nobody().with_token("invented");
        assert_eq!(invented.get("/v1/openapi.json").await.status, StatusCode::OK);
        let (mut refused, mut told_to_wait) = (0, 0);
        for number in 0..60 {
            let other = gateway.nobody().with_token(&format!("invented-{number}"));
            let caller = if number % 2 == 0 { &invented } else { &other };
            let answer = caller.call(method.clone(), path, body.as_ref(), &[]).await.unwrap().status;
            match answer {
                answer if answer == status => refused += 1,
                StatusCode::TOO_MANY_REQUESTS => told_to_wait += 1,
                other => panic!("{method} {path}: {other}"),
            }
            let hers = dana.call(method.clone(), path, body.as_ref(), &[]).await.unwrap().status;
            assert_eq!(hers, status, "she is known, and stays so");
        }
        assert!(refused >= 5 && told_to_wait > 0, "{path}: {refused} refused, {told_to_wait} told to wait");
        // Hers come last, and are not waited for either.
        let recorded = until("all records", || async {
            let recorded = dana.all("/v1/records?verb=refuse_request").await;
            (recorded.len() >= refused + 60).then_some(recorded)
        });
        let recorded = recorded.await;
        let nobodys = recorded.iter().filter(|record| record["principal"].is_null()).count();
        assert_eq!(nobodys, refused, "{path}: who is told to wait costs no record");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_never_arrive_leave_room_for_whoever_is_known() {
    let limits = "[limits]\nrequests_at_once = 8\nrefusals_per_second = 0";
    let gateway = Gateway::started("", limits).await;
    let dana = gateway.sign_in("dana").await;
    let mut slow: Vec<TcpStream> = ["/v1/session", "/v1/actions/things.change-item/runs"]
        .repeat(30)
        .into_iter()
        .map(|path| {
            let mut stream = connect(&gateway);
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer invented\r\ncontent-length: 90\r\n\r\n{{"
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    // At most so many as there are places can still be waited for.
    until("the others to be answered", || {
        slow.retain_mut(|stream| stream.read(&mut [0; 64]).is_err());
        std::future::ready((slow.len() <= 8).then_some(()))
    })
    .await;
    for _ in 0..10 {
        assert_eq!(dana.get("/v1/session").await.status, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_of_what_cannot_be_got_is_refused_and_recorded() {
    let gateway = Gateway::started("", "").await;
    let dana = gateway.sign_in("dana").await;
    let path = "/v1/actions/things.change-item/runs";
    let answer = dana.call(Method::HEAD, path, None, &[]).await.unwrap();
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers["allow"], "POST");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let recorded = until("its record", || async {
        let recorded = dana.all("/v1/records?verb=refuse_request").await;
        (!recorded.is_empty()).then_some(recorded)
    });
    let recorded = recorded.await;
    assert_eq!(recorded[0]["detail"], "HEAD /v1/actions/{action}/runs", "{recorded:?}");
    let catalogue = dana.call(Method::HEAD, "/v1/catalogue", None, &[]).await.unwrap();
    assert_eq!(catalogue.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_is_not_offered_is_answered_with_those_that_are() {
    let gateway = Gateway::started("", "").await;
    let dana = gateway.sign_in("dana").await;
    for (method, path, offered) in [
        ("DELETE", "/v1/catalogue", json!(["GET"])),
        ("PUT", "/v1/actions/things.change-item/runs", json!(["POST"])),
        ("PUT", "/v1/session", json!(["POST", "GET", "DELETE"])),
        ("BREW", "/v1/catalogue", json!(["GET"])),
    ] {
        let answer = dana.call(method.parse().unwrap(), path, None, &[]).await.unwrap();
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(answer.code(), "method-not-allowed");
        assert_eq!(answer.body["allow"], offered, "{path}");
        let words: Vec<&str> =
            offered.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(answer.headers["allow"], words.join(", ").as_str());
    }
}
