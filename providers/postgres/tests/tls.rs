//! Connections with TLS, against a server with a certificate of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use guichet_provider_postgres::{Settings, provider};
use guichet_provider_sdk::bench::Bench;
use guichet_throwaway_postgres::Cluster;
use serde_json::{Value, json};

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn instance(url: &str, more: &str) -> Value {
    let toml = format!("[[instance]]\nidentifier = 'shop'\nurl = '{url}'\n{more}");
    let bench = Bench::new(provider(&Settings::from_toml(&toml).unwrap()).unwrap()).unwrap();
    bench.call("list-instances", json!({})).await.unwrap()["instances"][0].clone()
}

#[tokio::test]
async fn a_certificate_must_be_vouched_for() {
    let cluster = Cluster::start().unwrap();
    cluster.role("guichet", "IN ROLE pg_monitor").unwrap();
    let url = |mode: &str| cluster.url("guichet").replace("sslmode=disable", &format!("sslmode={mode}"));

    let without = instance(&url("require"), "").await;
    assert_eq!(without["up"], false, "the server has no TLS, and `require` means it");

    let data = cluster.dir().join("data");
    let (key, certificate) = (data.join("server.key"), data.join("server.crt"));
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=shop",
            "-keyout",
            key,
            "-out",
            certificate,
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ],
    );
    let reference = format!("--reference={}", data.join("postgresql.conf").display());
    run("chown", &[&reference, key, certificate]);
    cluster.sql("ALTER SYSTEM SET ssl = on").unwrap();
    cluster.sql("SELECT pg_reload_conf()").unwrap();
    let mut known = instance(&url("verify-full"), &format!("ca_file = '{certificate}'")).await;
    for _ in 0..100 {
        // The reload is asynchronous.
        if known["up"] == true {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        known = instance(&url("verify-full"), &format!("ca_file = '{certificate}'")).await;
    }
    assert_eq!(known["up"], true, "{known:#}");
    for mode in ["require", "prefer"] {
        let unknown = instance(&url(mode), "").await;
        assert_eq!(unknown["up"], false, "{mode}");
        assert!(unknown["note"].as_str().unwrap().contains("certificate"), "{unknown:#}");
    }
    let elsewhere = url("require").replace("127.0.0.1", "localhost");
    let other_name = instance(&elsewhere, &format!("ca_file = '{certificate}'")).await;
    assert!(other_name["note"].as_str().unwrap().contains("localhost"), "{other_name:#}");
}
