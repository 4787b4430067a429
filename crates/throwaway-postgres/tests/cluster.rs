//! A real cluster and its replica come and go.

use std::net::TcpStream;

use guichet_throwaway_postgres::Cluster;

#[test]
fn a_cluster_answers_replicates_and_leaves_nothing_behind() -> anyhow::Result<()> {
    let primary = Cluster::start()?;
    let (address, dir) = (("127.0.0.1", primary.port()), primary.dir().to_owned());
    assert!(TcpStream::connect(address).is_ok());
    primary.role("app", "")?;
    primary.sql("CREATE EXTENSION pg_stat_statements; CREATE TABLE t AS SELECT 41 + 1 AS n")?;
    let replica = primary.replica()?;
    assert_ne!(primary.port(), replica.port());
    assert_eq!(replica.sql("SELECT pg_is_in_recovery()")?, "t");
    // The base backup already holds the table.
    assert_eq!(replica.sql("SELECT n FROM t")?, "42");
    replica.remove()?;
    primary.remove()?;
    assert!(TcpStream::connect(address).is_err(), "the server still listens");
    assert!(!dir.exists(), "its directory is still there");
    Ok(())
}
