//! How much memory, and how soon there is an answer.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{
    figures::{Table, duration, median_of, mib},
    gateway::Site,
    load::{Load, Target},
    nginx::{self, Kind},
    server::{Server, free_port},
    setting::Setting,
};

const AT_REST: Duration = Duration::from_secs(5);
const STARTS: usize = 10;
const CONNECTIONS: usize = 64;
/// Operations of a large provider, as many as a document may have.
const MANY: usize = 10_000;

/// Measures.
pub(crate) fn measure(setting: &Setting) -> Result<String> {
    let upstream = Server::role(setting, &["upstream", "8"])?;
    let large = Server::role(setting, &["upstream", &MANY.to_string()])?;
    let memory = memory(setting, &upstream, &large)?;
    let start = start(setting, &upstream, &large)?;
    Ok(format!(
        "## memory-and-start\n\nResident memory from `/proc` (nginx: master and workers together), {0} s after the start (guichetd: and \
         a sign-in), while {CONNECTIONS} connections read as fast as they are answered, and {0} s after that; the most ever is `VmHWM`. \
         Anonymous memory is what the process itself made; the rest are pages of its program and of the database's files, which the \
         system can take back. The large provider has {MANY} operations.\n\n{memory}\nFrom starting the process to the first 200, the \
         middle of {STARTS} starts, in turns, on files that are there already; guichetd is asked `/readyz`, the others an item.\n\n{start}",
        AT_REST.as_secs()
    ))
}

fn memory(setting: &Setting, upstream: &Server, large: &Server) -> Result<String> {
    let load = Load::choose();
    let mut table =
        Table::new(&["", "at rest", "of it anonymous", "under load", "at rest again", "most ever"]);
    let mut measure = |name: &str, server: &Server, target: &Target| -> Result<()> {
        eprintln!("  memory of {name}");
        thread::sleep(AT_REST);
        let ((at_rest, _), anonymous) = (server.memory(), server.anonymous());
        let under_load = thread::scope(|scope| {
            // Looked at shortly before the load ends.
            let look = scope.spawn(|| {
                thread::sleep(setting.seconds.mul_f64(0.9));
                server.memory().0
            });
            load.run(setting, server, target, CONNECTIONS, setting.seconds)?;
            look.join().ok().context("the look at memory failed")
        })?;
        thread::sleep(AT_REST);
        let (again, most) = server.memory();
        table.row(&[name.to_owned(), mib(at_rest), mib(anonymous), mib(under_load), mib(again), mib(most)]);
        Ok(())
    };
    let plain = Target { path: "/items/7".to_owned(), token: None };
    measure("bare hyper proxy", &Server::role(setting, &["proxy", &upstream.url])?, &plain)?;
    if nginx::is_here() {
        measure(
            "nginx + auth_request",
            &nginx::start(setting, Kind::WithAuthRequest, &upstream.url)?.0,
            &plain,
        )?;
    }
    for (name, folder, upstream) in
        [("**guichetd**", "memory", upstream), ("**guichetd**, a large provider", "memory-large", large)]
    {
        let site = Site::new(setting, folder)?;
        site.configure(setting, &[("plain", &upstream.url)])?;
        // Started once before: what is at rest is a gateway that knows its provider's document.
        drop(site.start(setting)?);
        let (mut gateway, token) = site.start(setting)?;
        let target = Target { path: "/providers/plain/items/7".to_owned(), token: Some(token) };
        gateway
            .wait_for(setting, &target.path, target.token.as_deref(), Instant::now())
            .with_context(|| site.log())?;
        measure(name, &gateway, &target)?;
    }
    Ok(table.into_text())
}

fn start(setting: &Setting, upstream: &Server, large: &Server) -> Result<String> {
    let down = format!("http://127.0.0.1:{}", free_port()?);
    let sites = [
        ("**guichetd**, no provider", vec![]),
        ("**guichetd**, a provider of 8 operations", vec![("plain", upstream.url.as_str())]),
        ("**guichetd**, a provider that is down", vec![("plain", down.as_str())]),
        ("**guichetd**, a large provider", vec![("plain", large.url.as_str())]),
    ];
    let mut rows: Vec<(&str, Vec<Duration>)> = Vec::new();
    let mut prepared = Vec::new();
    for (at, (name, providers)) in sites.iter().enumerate() {
        let site = Site::new(setting, &format!("start-{at}"))?;
        site.configure(setting, providers)?;
        let first = start_once(setting, &site)?;
        eprintln!("  {name}: {} on an empty folder", duration(first));
        rows.push((name, Vec::new()));
        prepared.push((site, first));
    }
    let mut of_nginx = Vec::new();
    let mut of_proxy = Vec::new();
    for _ in 0..STARTS {
        for ((site, _), (_, times)) in prepared.iter().zip(&mut rows) {
            times.push(start_once(setting, site)?);
        }
        if nginx::is_here() {
            of_nginx.push(nginx::start(setting, Kind::WithAuthRequest, &upstream.url)?.1);
        }
        let began = Instant::now();
        let mut proxy = Server::role(setting, &["proxy", &upstream.url])?;
        of_proxy.push(proxy.wait_for(setting, "/items/7", None, began)?);
    }
    rows.insert(0, ("bare hyper proxy", of_proxy));
    rows.insert(1, ("nginx + auth_request", of_nginx));
    let mut table = Table::new(&["", "start to first answer", "fastest–slowest", "on an empty folder"]);
    for (name, times) in &rows {
        let (Some(fastest), Some(slowest)) = (times.iter().min(), times.iter().max()) else { continue };
        let first = sites
            .iter()
            .zip(&prepared)
            .find(|(site, _)| site.0 == *name)
            .map(|(_, (_, first))| duration(*first));
        table.row(&[
            (*name).to_owned(),
            duration(median_of(times.iter().copied())),
            format!("{}–{}", duration(*fastest), duration(*slowest)),
            first.unwrap_or_else(|| "–".to_owned()),
        ]);
    }
    Ok(table.into_text())
}

fn start_once(setting: &Setting, site: &Site) -> Result<Duration> {
    let began = Instant::now();
    let mut server = site.spawn(setting)?;
    let took = server.wait_for(setting, "/readyz", None, began).with_context(|| site.log())?;
    server.watch()?;
    Ok(took)
}
