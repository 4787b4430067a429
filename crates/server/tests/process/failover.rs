//! The database itself dies: its primary is killed and a standby takes its place, and it is restarted in every way, while
//! changes are asked for.

use std::{sync::Arc, time::Duration};

use guichet_testkit::Dice;
use guichet_throwaway_postgres::Cluster;
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    gateway::{Gateway, until, until_within},
    proof::checkpoint,
    provider_process::ProviderProcess,
    replica::{Replica, database},
    torture::{Load, workshop},
};

/// How long a failover may take to be noticed everywhere.
const NOTICED: Duration = Duration::from_mins(2);

/// Two gateways with this database, under load.
struct Site {
    gateway: Gateway,
    replica: Replica,
    workshop: ProviderProcess,
    load: Load,
}

/// `hosts` is put in the place of the cluster's own address.
async fn site(cluster: &Cluster, hosts: Option<&str>) -> Site {
    let mut workshop = workshop::unborn();
    let mut gateway = Gateway::prepared("", "").await;
    let mut store = database(cluster, &gateway);
    if let Some(hosts) = hosts {
        let alone = format!("127.0.0.1:{}", cluster.port());
        assert!(store.contains(&alone), "{store}");
        store = store.replace(&alone, hosts);
    }
    gateway.with_tables(&format!("{store}{}", workshop.table()));
    gateway.start().await;
    let replica = Replica::of(&gateway).await;
    workshop.believe(&gateway).await;
    workshop.start();
    let load = Load::begin(&gateway, vec![gateway.address().clone(), replica.address.clone()]).await;
    until("the first runs", || async { (load.accepted() > 20).then_some(()) }).await;
    Site { gateway, replica, workshop, load }
}

impl Site {
    /// Both take changes again.
    async fn goes_on(&self) {
        let nobody = self.gateway.nobody();
        for person in [nobody.clone(), nobody.at(&self.replica.address)] {
            until_within(NOTICED, "it is ready", || async { person.is_ready().await.then_some(()) }).await;
        }
        let before = self.load.accepted();
        until_within(NOTICED, "further runs", || async {
            (self.load.accepted() > before + 20).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_with_all_that_was_accepted() {
    let primary = Cluster::start().unwrap();
    let standby = primary.replica().unwrap();
    // What is answered is at both.
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'replica'").unwrap();
    primary.sql("SELECT pg_reload_conf()").unwrap();
    until("the standby to be synchronous", || async {
        let states = primary.sql("SELECT sync_state FROM pg_stat_replication").unwrap();
        (states == "sync").then_some(())
    })
    .await;
    // The standby is named first: it is there all the time, and takes no writes until it is told to.
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port(), primary.port());
    let site = site(&primary, Some(&hosts)).await;
    let dana = site.gateway.sign_in("dana").await;
    let before = [checkpoint(&dana).await];
    sleep(Duration::from_secs(1)).await;

    primary.kill().unwrap();
    sleep(Duration::from_secs(2)).await;
    standby.promote().unwrap();
    site.goes_on().await;
    let Site { load, workshop, gateway, replica } = site;
    load.ends(&workshop, &before, 1).await;
    for log in [gateway.log(), replica.log()] {
        assert!(!log.contains(primary.password()), "the password is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_restarted_in_every_way_loses_nothing() {
    let cluster = Arc::new(Cluster::start().unwrap());
    let site = site(&cluster, None).await;
    let dana = site.gateway.sign_in("dana").await;
    let before = [checkpoint(&dana).await];
    let mut chance = Dice::of_the_moment(5);
    for number in 0..6 {
        let cluster = Arc::clone(&cluster);
        let away = Duration::from_millis(chance.below(1_500));
        let restarted = move || match number % 3 {
            // The sessions are ended, and what they were about is taken back.
            0 => {
                cluster.stop()?;
                std::thread::sleep(away);
                cluster.start_again()
            }
            // As a crash does it.
            1 => cluster.crash_and_start(),
            _ => {
                cluster.kill()?;
                std::thread::sleep(away);
                cluster.start_again()
            }
        };
        spawn_blocking(restarted).await.unwrap().unwrap();
        sleep(Duration::from_millis(500 + chance.below(1_500))).await;
    }
    site.goes_on().await;
    let Site { load, workshop, .. } = site;
    load.ends(&workshop, &before, 6).await;
}
