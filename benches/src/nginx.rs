//! nginx, twice: passing on alone, and with what comes nearest to what the gateway does — asking somebody whether each
//! request may pass (`auth_request`) and writing it down (`access_log`; unlike the gateway's record, nobody waits for
//! that, it is not synced, and it can be changed unseen).

use std::{fs, process::Command, time::Instant};

use anyhow::Result;

use crate::{
    server::{Server, free_port},
    setting::{Setting, has_or_installs},
};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `proxy_pass` and `access_log`.
    Plain,
    /// And `auth_request`.
    WithAuthRequest,
}

/// Whether there is one.
pub(crate) fn is_here() -> bool {
    has_or_installs("nginx", "nginx-light")
}

/// Starts one before `upstream`.
pub(crate) fn start(setting: &Setting, kind: Kind, upstream: &str) -> Result<(Server, std::time::Duration)> {
    let folder = setting.folder(&format!("nginx-{kind:?}"))?;
    let port = free_port()?;
    let auth = if kind == Kind::WithAuthRequest { "auth_request /auth;" } else { "" };
    let upstream = upstream.trim_start_matches("http://");
    let keep = "proxy_http_version 1.1; proxy_set_header Connection \"\";";
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|part| format!("  {part}_temp_path temporary;\n"))
        .concat();
    let text = format!(
        "worker_processes auto;\npid nginx.pid;\nerror_log error.log;\nevents {{ worker_connections 8192; }}\nhttp {{\n{temporary}  \
           access_log access.log combined;\n  keepalive_requests 1000000000;\n  \
           upstream items {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; }}\n  \
           server {{\n    listen 127.0.0.1:{port};\n    \
             location / {{ {auth} proxy_pass http://items; {keep} }}\n    \
             location = /auth {{ internal; proxy_pass http://items; {keep} proxy_pass_request_body off; proxy_set_header Content-Length \"\"; }}\n  \
           }}\n}}\n"
    );
    fs::write(folder.join("nginx.conf"), text)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&folder).args(["-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;"]);
    let began = Instant::now();
    let mut server = Server::spawn(command, format!("http://127.0.0.1:{port}"))?;
    let took = server.wait_for(setting, "/items/7", None, began)?;
    server.watch()?;
    Ok((server, took))
}
