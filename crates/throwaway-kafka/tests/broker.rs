//! A broker is born, killed, born again and swept away.

use std::io::Write as _;

use guichet_throwaway_kafka::{Broker, missing};

#[test]
fn a_broker_lives_and_is_gone() {
    if let Some(why) = missing() {
        // As guichet-testkit says it, which this room does not know.
        let told = format!("SKIPPED a_broker_lives_and_is_gone: {why}\n");
        std::io::stdout().lock().write_all(told.as_bytes()).unwrap();
        return;
    }
    let mut broker = Broker::start().unwrap();
    let dir = broker.dir().to_owned();
    assert!(std::net::TcpStream::connect(broker.bootstrap()).is_ok());
    assert!(std::net::TcpStream::connect(broker.bootstrap_sasl()).is_ok());
    broker.kill().unwrap();
    assert!(std::net::TcpStream::connect(broker.bootstrap()).is_err());
    broker.start_again().unwrap();
    assert!(broker.resident_kib() > 0);
    drop(broker);
    assert!(!dir.exists());
}
