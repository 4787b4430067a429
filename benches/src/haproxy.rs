//! HAProxy, passing on and writing a line for each request. It has nothing like nginx's `auth_request` of its own, so it stands
//! beside nginx alone: nobody is asked.

use std::{
    fs::{self, File},
    process::Command,
    time::Instant,
};

use anyhow::Result;

use crate::{
    server::{Server, free_port},
    setting::{Setting, has_or_installs},
};

/// Whether there is one.
pub(crate) fn is_here() -> bool {
    has_or_installs("haproxy", "haproxy")
}

/// Starts one before `upstream`.
pub(crate) fn start(setting: &Setting, upstream: &str) -> Result<Server> {
    let folder = setting.folder("haproxy")?;
    let port = free_port()?;
    let upstream = upstream.trim_start_matches("http://");
    let text = format!(
        "global\n  maxconn 8192\n  log stdout format raw local0 info\n\
         defaults\n  mode http\n  log global\n  option httplog\n  option http-keep-alive\n  http-reuse always\n  \
           timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend items\n  bind 127.0.0.1:{port}\n  default_backend upstream\n\
         backend upstream\n  server upstream {upstream} pool-max-conn -1\n"
    );
    fs::write(folder.join("haproxy.cfg"), text)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
    command.stdout(File::create(folder.join("access.log"))?).stderr(File::create(folder.join("error.log"))?);
    let began = Instant::now();
    let mut server = Server::spawn(command, format!("http://127.0.0.1:{port}"))?;
    server.wait_for(setting, "/items/7", None, began)?;
    server.watch()?;
    Ok(server)
}
