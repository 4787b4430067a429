//! Who gets in, with what, and for how long.

use serde_json::json;

use crate::world::start;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_missing_expired_and_revoked_credentials_are_told_apart() {
    let (bench, _) = start().await;
    let nobody = bench.nobody().unwrap();
    let missing = nobody.get("/v1/session").await.unwrap();
    assert_eq!((missing.status.as_u16(), missing.code()), (401, "not-signed-in"));
    assert_eq!(missing.headers["www-authenticate"], "Bearer");
    for (user, password) in [("dana", "wrong password"), ("nobody", "wrong password")] {
        let wrong = nobody.post("/v1/session", json!({"user": user, "password": password})).await.unwrap();
        assert_eq!((wrong.status.as_u16(), wrong.code()), (401, "invalid-credentials"));
        assert!(!wrong.body.to_string().contains(user), "nobody learns which names there are");
    }
    let forged = bench.with_token("gcs_forged").unwrap().get("/v1/session").await.unwrap();
    assert_eq!((forged.status.as_u16(), forged.code()), (401, "invalid-credentials"));
    let dana = bench.sign_in("dana").await.unwrap();
    assert_eq!(dana.get("/v1/session").await.unwrap().body["principal"]["name"], "dana");
    assert_eq!(dana.call(reqwest::Method::DELETE, "/v1/session", None).await.unwrap().status, 204);
    let revoked = dana.get("/v1/session").await.unwrap();
    assert_eq!((revoked.status.as_u16(), revoked.code()), (401, "invalid-credentials"));
    assert!(revoked.body["detail"].as_str().unwrap().contains("revoked"), "{}", revoked.body);
    let omar = bench.sign_in("omar").await.unwrap();
    let dan = bench.sign_in("dan").await.unwrap();
    assert_eq!(omar.get("/v1/records").await.unwrap().code(), "refused", "omar is no developer");
    let records = dan.get("/v1/records?verdict=refused&verb=sign_in").await.unwrap();
    assert_eq!(records.body["items"].as_array().unwrap().len(), 2);
    assert!(!records.body.to_string().contains("wrong password"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_personal_token_does_what_its_scopes_say_and_makes_no_others() {
    let (bench, _) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let body = json!({"name": "a script", "expires_in_seconds": 3600, "scopes": ["read"]});
    let made = dana.post("/v1/tokens", body.clone()).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    let script = bench.with_token(made.body["token"].as_str().unwrap()).unwrap();
    assert_eq!(script.submit("things.list-items", json!({})).await.unwrap().status, 200);
    let change = script.submit("things.change-item", json!({"name": "a"})).await.unwrap();
    assert_eq!((change.status.as_u16(), change.code()), (403, "refused"));
    assert!(change.body["detail"].as_str().unwrap().contains("limited to read"), "{}", change.body);
    assert_eq!(script.post("/v1/tokens", body).await.unwrap().code(), "refused");
    let listed = dana.get("/v1/tokens").await.unwrap();
    assert_eq!(listed.body["items"][0]["name"], "a script");
    assert!(!listed.body.to_string().contains("gcp_"), "the secret is told once");
    let path = format!("/v1/tokens/{}", made.body["id"].as_str().unwrap());
    let omar = bench.sign_in("omar").await.unwrap();
    assert_eq!(omar.call(reqwest::Method::DELETE, &path, None).await.unwrap().code(), "unknown-token");
    assert_eq!(dana.call(reqwest::Method::DELETE, &path, None).await.unwrap().status, 204);
    assert_eq!(script.get("/v1/session").await.unwrap().code(), "invalid-credentials");
    assert_eq!(dana.call(reqwest::Method::DELETE, &path, None).await.unwrap().code(), "unknown-token");
    for wrong in [
        json!({"name": "", "expires_in_seconds": 60}),
        json!({"name": "x", "expires_in_seconds": 1}),
        json!({"name": "x", "expires_in_seconds": 60, "scopes": ["everything"]}),
    ] {
        assert_eq!(dana.post("/v1/tokens", wrong).await.unwrap().code(), "invalid-input");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_a_password_is_slowed_down() {
    let (bench, _) = start().await;
    let nobody = bench.nobody().unwrap();
    let mut codes = Vec::new();
    for _ in 0..12 {
        let answer =
            nobody.post("/v1/session", json!({"user": "eve", "password": "guess guess"})).await.unwrap();
        codes.push(answer.code().to_owned());
    }
    assert!(codes.contains(&"too-many-requests".to_owned()), "{codes:?}");
}
