//! What keeps it from starting is said, with what to do, and the exit code is 1.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _};

use serde_json::json;

use crate::{gateway::Gateway, proof::proven};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_do_not_share_a_folder() {
    let gateway = Gateway::started("", "").await;
    let (code, said) = gateway.refused();
    assert_eq!(code, Some(1), "{said}");
    let holder = format!("in use by process {}", gateway.process_id());
    for words in [holder.as_str(), "guichet.sqlite", "two gateways cannot share one file", "stop that one"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let dana = gateway.sign_in("dana").await;
    let run = dana.submitted("things.change-item", json!({"name": "a"})).await;
    assert_eq!(dana.end_of(&run).await["state"], "succeeded", "the first one did not notice");
    proven(&dana, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_others_can_read_is_not_used() {
    let mut gateway = Gateway::started("", "").await;
    gateway.kill();
    for key in ["provider-token.key", "ledger.key"] {
        let file = gateway.path("data/keys").join(key);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "as it was made");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let (code, said) = gateway.refused();
        assert_eq!(code, Some(1), "{said}");
        for words in [key, "can be read by others (mode 644)", "chmod 600"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    gateway.start().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_named() {
    let gateway = Gateway::prepared("", "").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = fs::read_to_string(gateway.path("guichet.toml")).unwrap();
    gateway.write("guichet.toml", &text.replacen("127.0.0.1:0", &address, 1));
    let (code, said) = gateway.refused();
    assert_eq!(code, Some(1), "{said}");
    for words in [address.as_str(), "cannot be listened on", "choose another `listen`", "in use"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_signs_and_the_old_one_still_holds() {
    let mut gateway = Gateway::started("", "").await;
    let dana = gateway.sign_in("dana").await;
    let kids = async |person: &crate::person::Person| {
        let keys = person.get("/v1/keys").await.body;
        keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let old = kids(&dana).await;
    gateway.kill();
    let file = gateway.path("data/keys/provider-token.key");
    let new = guichet_identity::KeyRing::generate_paserk().unwrap();
    fs::write(&file, format!("{new}\n{}", fs::read_to_string(&file).unwrap())).unwrap();
    gateway.start().await;
    let both = kids(&dana).await;
    assert_eq!((both.len(), &both[1]), (2, &old[0]));
    let run = dana.submitted("things.change-item", json!({"name": "a"})).await;
    assert_eq!(dana.end_of(&run).await["state"], "succeeded");
    gateway.kill();
    fs::write(&file, "k4.secret.rubbish\n").unwrap();
    let (code, said) = gateway.refused();
    assert_eq!(code, Some(1));
    assert!(said.contains("provider-token.key") && said.contains("k4.secret.…"), "{said}");
    assert!(!said.contains("rubbish"), "what may be half of a key is not repeated: {said}");
}
