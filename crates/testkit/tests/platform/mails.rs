//! Mails to a real SMTP server: in the clear on loopback, with STARTTLS, with TLS, with a password.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story that cannot begin or go on has failed")]

use std::{fs, path::PathBuf, time::Duration};

use guichet_testkit::{Bench, Effects, MailServer, MailServerSetup};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    notices::{until, waiting},
    world::{REGISTRY, setup},
};

/// An authority of our own and a certificate it gave to `localhost`.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn made() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let certificate = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let server =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        fs::write(folder.path().join("authority.pem"), certificate.pem()).unwrap();
        fs::write(folder.path().join("server.pem"), server.pem()).unwrap();
        fs::write(folder.path().join("server.key"), key.serialize_pem()).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A platform whose mail goes there; omar's address is in the registry, the others' follow a pattern.
async fn started(port: u16, more: &str) -> (Bench, Effects) {
    let effects = Effects::default();
    let registry = format!("{REGISTRY}people:\n  - {{name: omar, email: omar.o@corp.test}}\n");
    let channel = format!(
        "[[notify]]\nname = \"mail\"\nkind = \"smtp\"\nserver = \"localhost\"\nport = {port}\n\
         from = \"Guichet <guichet@corp.test>\"\naddress = \"{{name}}@corp.test\"\n{more}\n"
    );
    let setup = setup(&effects).registry(&registry).file("mail.password", "pass word\n").config(&channel);
    let robots = "@id(\"robots-ping\") permit (principal is ServiceAccount, action == Action::\"ping_channel\", resource);";
    let setup = setup.service("robot").policy("robots.cedar", robots);
    (setup.start().await.unwrap(), effects)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_approver_gets_a_mail_with_the_card_and_the_requester_the_outcome() {
    let server =
        MailServer::start(MailServerSetup { refuse_first: 1, ..MailServerSetup::default() }).unwrap();
    let (bench, _effects) = started(server.port, "tls = \"none\"").await;
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let (id, run) = waiting(&dana, "a").await;
    until("two mails", || (server.mails().len() == 2).then_some(())).await;
    let (to_omar, to_olga) = (server.mails_to("omar.o@corp.test"), server.mails_to("olga@corp.test"));
    assert_eq!(
        (to_omar.len(), to_olga.len()),
        (1, 1),
        "one was turned away at first, and none is told twice"
    );
    let short = &id[id.len() - 8..];
    let (headers, text) = (&to_omar[0]["headers"], to_omar[0]["text"].as_str().unwrap());
    assert_eq!(
        headers["subject"],
        format!("[staging] dana asks for approval in staging: Destroy item 'a' ({short})")
    );
    assert_eq!(headers["from"], "Guichet <guichet@corp.test>");
    assert_eq!(headers["auto-submitted"], "auto-generated");
    assert_eq!(headers["references"], format!("<{id}@corp.test>"));
    assert_ne!(headers["message-id"], to_olga[0]["headers"]["message-id"]);
    for words in [
        format!("guichet approvals approve {short}"),
        "Destroy item 'a'".to_owned(),
        "version".to_owned(),
        "a test".to_owned(),
        "team ops; 0 of 1 given".to_owned(),
        run["expires_at"].as_str().unwrap().replace('T', " ")[..19].to_owned(),
    ] {
        assert!(text.contains(&words), "{words}: {text}");
    }
    omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap();
    until("the end", || (server.mails_to("dana@corp.test").len() == 2).then_some(())).await;
    let to_dana = server.mails_to("dana@corp.test");
    let subjects: Vec<&str> = to_dana.iter().filter_map(|mail| mail["headers"]["subject"].as_str()).collect();
    assert!(subjects.iter().any(|subject| subject.contains("omar said yes")), "{subjects:?}");
    assert!(subjects.iter().any(|subject| subject.contains("Done: Destroy item 'a'")), "{subjects:?}");
    until("olga", || (server.mails_to("olga@corp.test").len() == 2).then_some(())).await;
    let olga = &server.mails_to("olga@corp.test")[1]["headers"]["subject"];
    assert!(olga.as_str().unwrap().contains("no longer needed, omar said yes"), "{olga}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_goes_over_tls_with_a_password_and_never_to_a_server_that_nobody_vouches_for() {
    let certificates = Certificates::made();
    let (certificate, key) = (certificates.path("server.pem"), certificates.path("server.key"));
    for tls in ["starttls", "tls"] {
        let server = MailServer::start(MailServerSetup {
            tls,
            certificate: Some((&certificate, &key)),
            password: Some("pass word"),
            refuse_first: 0,
        })
        .unwrap();
        let sign_in = "user = \"guichet\"\npassword_file = \"mail.password\"";
        let authority = certificates.path("authority.pem").display().to_string();
        let good = format!("tls = \"{tls}\"\n{sign_in}\nca_file = \"{authority}\"");
        let (bench, _effects) = started(server.port, &good).await;
        let dana = bench.sign_in("dana").await.unwrap();
        waiting(&dana, "a").await;
        until("two mails", || (server.mails().len() == 2).then_some(())).await;
        for mail in server.mails() {
            assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("guichet")), "{mail}");
        }

        let stranger = format!("tls = \"{tls}\"\n{sign_in}\ntries = 1");
        let (bench, _effects) = started(server.port, &stranger).await;
        let dana = bench.sign_in("dana").await.unwrap();
        let (id, _) = waiting(&dana, "b").await;
        let record = given_up(&dana, &id).await;
        assert!(record.contains("certificate") || record.contains("UnknownIssuer"), "{record}");
        assert_eq!(server.mails().len(), 2, "nothing went to a server with an unknown certificate");
    }
}

async fn given_up(dana: &guichet_testkit::bench::Person, run: &str) -> String {
    for _ in 0..600 {
        let records = dana.get(&format!("/v1/records?run={run}&verb=deliver_notice")).await.unwrap();
        if let Some(record) = records.body["items"].get(0) {
            return record["detail"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it was never given up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_does_not_exist_is_given_up_at_once_and_the_others_get_theirs() {
    let server = MailServer::start(MailServerSetup::default()).unwrap();
    let effects = Effects::default();
    let registry = format!("{REGISTRY}people:\n  - {{name: omar, email: gone@corp.test}}\n");
    let channel = format!(
        "[[notify]]\nname = \"mail\"\nkind = \"smtp\"\nserver = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         from = \"guichet@corp.test\"\naddress = \"{{name}}@corp.test\"\n",
        server.port
    );
    let bench = setup(&effects).registry(&registry).config(&channel).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let (id, _) = waiting(&dana, "a").await;
    let record = given_up(&dana, &id).await;
    assert!(record.starts_with("approval_requested to omar through mail: "), "{record}");
    // Its own words could name who is written to.
    assert!(record.contains("the mail server answered 550"), "{record}");
    until("olga's", || (server.mails_to("olga@corp.test").len() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_silent_or_offers_no_tls_gets_nothing_and_keeps_nothing_waiting() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (bench, _effects) =
        started(silent.local_addr().unwrap().port(), "tls = \"none\"\ntries = 1\ntimeout_seconds = 1").await;
    let dana = bench.sign_in("dana").await.unwrap();
    let (id, _) = waiting(&dana, "a").await;
    let record = given_up(&dana, &id).await;
    assert!(record.ends_with("it was not taken within 1 s"), "{record}");

    let server = MailServer::start(MailServerSetup::default()).unwrap();
    let (bench, _effects) = started(server.port, "tries = 1").await;
    let dana = bench.sign_in("dana").await.unwrap();
    let (id, _) = waiting(&dana, "a").await;
    let record = given_up(&dana, &id).await;
    assert!(record.contains("STARTTLS"), "{record}");
    assert!(server.mails().is_empty(), "without TLS nothing is said");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_by_mail_goes_to_whoever_asks_and_to_nobody_else() {
    let server = MailServer::start(MailServerSetup::default()).unwrap();
    let (bench, _effects) = started(server.port, "tls = \"none\"").await;
    let dana = bench.sign_in("dana").await.unwrap();
    let sent = dana.post("/v1/channels/mail/ping", json!({})).await.unwrap();
    assert_eq!(sent.status, 202, "{}", sent.body);
    let id = sent.body["id"].as_str().unwrap();
    let mail = until("the mail", || server.mails().pop()).await;
    assert_eq!(mail["to"], json!(["dana@corp.test"]));
    let subject = format!("[staging] dana pings the channel mail of staging ({})", &id[id.len() - 8..]);
    assert_eq!(mail["headers"]["subject"], subject);
    let text = mail["text"].as_str().unwrap();
    assert!(text.contains(&format!("guichet deliveries show {id}")), "{text}");
    assert!(!text.contains("Binding") && !text.contains("Run "), "it tells of no run: {text}");
    // Nobody reads the mail of a program whose address nobody knows.
    let robot = bench.sign_in("robot").await.unwrap();
    let refused = robot.post("/v1/channels/mail/ping", json!({})).await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.code()), (422, "invalid-input"), "{}", refused.body);
    assert!(
        refused.body["detail"].as_str().unwrap().contains("a program without an address"),
        "{}",
        refused.body
    );
    assert_eq!(server.mails().len(), 1);
}
