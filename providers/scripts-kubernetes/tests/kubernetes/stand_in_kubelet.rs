//! NOT a kubelet: it stands in for one, since a real one needs containers, and those more rights than a test has.
//!
//! Everything else is real: the API server, the Jobs' controller, the scheduler, which bind pods to the node that this says it is.
//! It does what a kubelet is seen to do from outside: it starts a pod's command, with the files of its Secret and with its
//! environment, as a process of its own process namespace; tells how it ended; ends it with SIGTERM and SIGKILL; serves its log to
//! the API server over TLS. There is no image and no root file system of its own: `/guichet` is a folder of this machine, by name.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, EnvVar, Node, Pod, Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
    sync::{Notify, oneshot},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// The name of its node.
pub(crate) const NODE: &str = "stand-in";
/// An image of which it says that it cannot be pulled.
pub(crate) const NO_IMAGE: &str = "nowhere.invalid/gone";

/// What it does, as a test may change it.
#[derive(Clone)]
pub(crate) struct StandIn {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    pods: Mutex<HashMap<String, Arc<Started>>>,
    /// Namespaces of whose pods it does and tells nothing, as a node that is cut off.
    cut_off: Mutex<HashSet<String>>,
    /// Namespaces of whose pods' logs all but the last line alone breaks off after the first one.
    breaking_off: Mutex<HashSet<String>>,
    folder: PathBuf,
}

/// A container that it started.
struct Started {
    log: Mutex<Vec<(Timestamp, Vec<u8>)>>,
    more: Notify,
    ended: AtomicBool,
    stop: Mutex<Option<oneshot::Sender<Duration>>>,
}

impl StandIn {
    /// Registers its node, serves logs, and attends to pods as long as the runtime lives.
    pub(crate) async fn open(client: Client, certificate: &str, key: &str, folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Inner {
            client: client.clone(),
            pods: Mutex::default(),
            cut_off: Mutex::default(),
            breaking_off: Mutex::default(),
            folder: folder.to_owned(),
        };
        let own = Self { inner: Arc::new(inner) };
        let chain =
            CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let tls = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        drop(tokio::spawn(own.clone().serve(listener, TlsAcceptor::from(Arc::new(tls)))));
        own.register(port).await;
        drop(tokio::spawn(own.clone().attend()));
        own
    }

    /// From now on the node is cut off, as far as this namespace goes, or is not any more.
    pub(crate) fn cut_off(&self, namespace: &str, is: bool) {
        let mut cut_off = self.inner.cut_off.lock().unwrap();
        let _ = if is { cut_off.insert(namespace.to_owned()) } else { cut_off.remove(namespace) };
    }

    /// From now on the connection breaks in which a log of this namespace is told, or does not any more.
    pub(crate) fn break_off(&self, namespace: &str, is: bool) {
        let mut breaking_off = self.inner.breaking_off.lock().unwrap();
        let _ = if is { breaking_off.insert(namespace.to_owned()) } else { breaking_off.remove(namespace) };
    }

    fn is_cut_off(&self, namespace: Option<&str>) -> bool {
        namespace.is_some_and(|namespace| self.inner.cut_off.lock().unwrap().contains(namespace))
    }

    async fn register(&self, port: u16) {
        let nodes: Api<Node> = Api::all(self.inner.client.clone());
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
        nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
        let room = json!({"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"});
        let ready = json!({"type": "Ready", "status": "True", "reason": "StandIn", "message": "", "lastHeartbeatTime": null, "lastTransitionTime": null});
        let status = json!({"status": {
            "capacity": room, "allocatable": room, "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }});
        nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        // The API server taints a new node until a controller, which does not run here, has seen it.
        let taints = json!({"spec": {"taints": null}});
        nodes.patch(NODE, &PatchParams::default(), &Patch::Merge(taints)).await.unwrap();
    }

    async fn attend(self) {
        let pods: Api<Pod> = Api::all(self.inner.client.clone());
        let own = format!("spec.nodeName={NODE}");
        loop {
            if let Ok(found) = pods.list(&ListParams::default().fields(&own)).await {
                for pod in found.items {
                    self.see(pod);
                }
                let version = found.metadata.resource_version.unwrap_or_default();
                let how = WatchParams {
                    field_selector: Some(own.clone()),
                    timeout: Some(15),
                    ..WatchParams::default()
                };
                if let Ok(events) = pods.watch(&how, &version).await {
                    let mut events = std::pin::pin!(events);
                    while let Ok(Some(event)) = events.try_next().await {
                        match event {
                            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => self.see(pod),
                            WatchEvent::Deleted(pod) => self.end(&uid(&pod), Duration::ZERO),
                            WatchEvent::Error(_) => break,
                            WatchEvent::Bookmark(_) => {}
                        }
                    }
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    fn see(&self, pod: Pod) {
        if self.is_cut_off(pod.metadata.namespace.as_deref()) {
            return;
        }
        let id = uid(&pod);
        let is_known = self.inner.pods.lock().unwrap().contains_key(&id);
        if pod.metadata.deletion_timestamp.is_some() {
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(30);
            if is_known {
                return self.end(&id, Duration::from_secs(grace.unsigned_abs()));
            }
            drop(tokio::spawn(forget(self.pods(&pod), name(&pod))));
            return;
        }
        let is_over = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if is_known || !matches!(is_over, None | Some("Pending")) {
            return;
        }
        let (stop, stopped) = oneshot::channel();
        let container = Arc::new(Started {
            log: Mutex::default(),
            more: Notify::new(),
            ended: AtomicBool::new(false),
            stop: Mutex::new(Some(stop)),
        });
        let _ = self.inner.pods.lock().unwrap().insert(id, Arc::clone(&container));
        drop(tokio::spawn(self.clone().run(pod, container, stopped)));
    }

    fn end(&self, id: &str, grace: Duration) {
        let container = self.inner.pods.lock().unwrap().get(id).map(Arc::clone);
        if let Some(stop) = container.and_then(|container| container.stop.lock().unwrap().take()) {
            let _ = stop.send(grace);
        }
    }

    fn pods(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.inner.client.clone(), pod.metadata.namespace.as_deref().unwrap())
    }

    async fn run(self, pod: Pod, container: Arc<Started>, mut stopped: oneshot::Receiver<Duration>) {
        let (pods, name) = (self.pods(&pod), name(&pod));
        let own = pod.spec.as_ref().unwrap().containers[0].clone();
        if own.image.as_deref() == Some(NO_IMAGE) {
            let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image: not found"}});
            self.tell(&pods, &name, "Pending", &own, &waiting).await;
            let _ = stopped.await;
            return forget(pods, name).await;
        }
        let id = format!("stand-in://{}", uid(&pod));
        let begun = Timestamp::now().to_string();
        let folder = self.inner.folder.join(uid(&pod));
        let started = tokio::select! {
            started = self.start(&pod, &own, &folder) => started,
            _ = &mut stopped => return forget(pods, name).await,
        };
        let mut child = match started {
            Ok(child) => child,
            Err(why) => {
                let waiting = json!({"waiting": {"reason": "CreateContainerConfigError", "message": why}});
                self.tell(&pods, &name, "Pending", &own, &waiting).await;
                let _ = stopped.await;
                return forget(pods, name).await;
            }
        };
        self.tell(&pods, &name, "Running", &own, &json!({"running": {"startedAt": begun}})).await;
        let words = tokio::spawn(listen(
            Arc::clone(&container),
            child.stdout.take().unwrap(),
            child.stderr.take().unwrap(),
        ));
        let (code, is_stopped) = tokio::select! {
            status = child.wait() => (code_of(status.unwrap()), false),
            grace = &mut stopped => {
                signal(&child, "-TERM");
                let code = if let Ok(status) = timeout(grace.unwrap_or_default(), child.wait()).await {
                    code_of(status.unwrap())
                } else {
                    signal(&child, "-KILL");
                    let _ = child.wait().await;
                    137
                };
                (code, true)
            }
        };
        let _ = timeout(Duration::from_secs(2), words).await;
        container.ended.store(true, Ordering::SeqCst);
        container.more.notify_waiters();
        let message = fs::read_to_string(folder.join("termination-log")).unwrap_or_default();
        let reason = if code == 0 { "Completed" } else { "Error" };
        let ended = json!({"terminated": {
            "exitCode": code, "reason": reason, "message": message, "containerID": id,
            "startedAt": begun, "finishedAt": Timestamp::now().to_string(),
        }});
        self.tell(&pods, &name, if code == 0 { "Succeeded" } else { "Failed" }, &own, &ended).await;
        let _ = fs::remove_dir_all(&folder);
        if is_stopped || stopped.await.is_ok() {
            forget(pods, name).await;
        }
    }

    async fn start(&self, pod: &Pod, own: &Container, folder: &Path) -> Result<Child, String> {
        let secrets: Api<Secret> =
            Api::namespaced(self.inner.client.clone(), pod.metadata.namespace.as_deref().unwrap());
        let spec = pod.spec.as_ref().unwrap();
        for place in ["guichet/given", "guichet/own"] {
            fs::create_dir_all(folder.join(place)).unwrap();
        }
        fs::write(folder.join("termination-log"), "").unwrap();
        for volume in spec.volumes.iter().flatten() {
            let Some(from) = &volume.secret else { continue };
            // Files are tried until they are there; nothing is begun before.
            let secret = loop {
                match secrets.get_opt(from.secret_name.as_deref().unwrap()).await {
                    Ok(Some(secret)) => break secret,
                    Ok(None) => sleep(Duration::from_millis(100)).await,
                    Err(error) => return Err(error.to_string()),
                }
            };
            for item in from.items.iter().flatten() {
                let data = secret.data.as_ref().unwrap().get(&item.key).ok_or("no such key")?;
                fs::write(folder.join("guichet/given").join(&item.path), &data.0).unwrap();
            }
        }
        let mut environment = vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())];
        for variable in own.env.iter().flatten() {
            environment.push((variable.name.clone(), value_of(variable, &secrets, &environment).await?));
        }
        let here = |text: &str| {
            let text =
                text.replace("/dev/termination-log", &folder.join("termination-log").display().to_string());
            text.replace("/guichet/", &format!("{}/guichet/", folder.display()))
        };
        let words: Vec<String> =
            own.command.iter().flatten().map(|word| here(&expanded(word, &environment))).collect();
        let arguments = own.args.iter().flatten().map(|word| expanded(word, &environment));
        // As its first process, in a session of its own, and without privileges where that can be.
        let mut command = Command::new("unshare");
        let _ = command.args(["--pid", "--fork", "--kill-child", "setpriv", "--no-new-privs"]);
        let user = spec.security_context.as_ref().and_then(|context| context.run_as_user).unwrap();
        let id = u32::try_from(user).unwrap();
        let _ = command.args(["--reuid", &user.to_string(), "--regid", &user.to_string(), "--clear-groups"]);
        let _ = command.arg("setsid").args(&words).args(arguments).env_clear();
        for place in ["guichet", "guichet/own", "termination-log"] {
            chown(folder.join(place), Some(id), Some(id)).unwrap();
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, value) in &environment {
            let value = if name == "HOME" { here(value) } else { value.clone() };
            let _ = command.env(name, value);
        }
        let _ = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.current_dir("/").spawn().map_err(|error| error.to_string())
    }

    async fn tell(&self, pods: &Api<Pod>, name: &str, phase: &str, own: &Container, state: &Value) {
        let status = json!({"status": {"phase": phase, "containerStatuses": [{
            "name": own.name, "image": own.image, "imageID": "", "ready": phase == "Running", "restartCount": 0,
            "state": {"running": null, "waiting": null, "terminated": null}, "containerID": null,
        }]}});
        let mut status = status;
        for (kind, told) in state.as_object().unwrap() {
            status["status"]["containerStatuses"][0]["state"] = json!({kind.as_str(): told});
        }
        for _ in 0..200 {
            while self.is_cut_off(pods.namespace()) {
                sleep(Duration::from_millis(100)).await;
            }
            match pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await {
                Ok(_) => return,
                Err(kube::Error::Api(error)) if error.code == 404 => return,
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    async fn serve(self, listener: TcpListener, tls: TlsAcceptor) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let (own, tls) = (self.clone(), tls.clone());
            drop(tokio::spawn(async move {
                let Ok(mut stream) = tls.accept(stream).await else { return };
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    asked.push(byte);
                }
                let asked = String::from_utf8_lossy(&asked).into_owned();
                let path = asked.split(' ').nth(1).unwrap_or_default().to_owned();
                let _ = own.answer(&path, &mut stream).await;
                let _ = stream.shutdown().await;
            }));
        }
    }

    /// `/containerLogs/{namespace}/{pod}/{container}?follow=true&sinceTime=…&timestamps=true`
    async fn answer(
        &self,
        path: &str,
        stream: &mut (impl tokio::io::AsyncWrite + Unpin),
    ) -> std::io::Result<()> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = path.split('/').collect();
        let (namespace, pod) = (parts[2], parts[3]);
        let pods: Api<Pod> = Api::namespaced(self.inner.client.clone(), namespace);
        let id = pods.get(pod).await.map(|pod| uid(&pod)).unwrap_or_default();
        let container = self.inner.pods.lock().unwrap().get(&id).map(Arc::clone);
        let Some(container) = container else {
            return stream
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await;
        };
        let said = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let since = said("sinceTime").map(|text| text.replace("%3A", ":").parse::<Timestamp>().unwrap());
        let follows = said("follow") == Some("true");
        let is_tail = said("tailLines") == Some("1");
        let breaks_off = !is_tail && self.inner.breaking_off.lock().unwrap().contains(namespace);
        assert_eq!(said("timestamps"), Some("true"));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
            .await?;
        stream.flush().await?;
        let mut position = 0;
        loop {
            let more = container.more.notified();
            let is_over = container.ended.load(Ordering::SeqCst);
            let mut lines: Vec<_> = container.log.lock().unwrap()[position..].to_vec();
            position += lines.len();
            if is_tail {
                lines.drain(..lines.len().saturating_sub(1));
            }
            for (time, line) in lines.iter().filter(|(time, _)| since.is_none_or(|since| *time >= since)) {
                let mut text = format!("{time} ").into_bytes();
                text.extend_from_slice(line);
                stream.write_all(format!("{:x}\r\n", text.len()).as_bytes()).await?;
                stream.write_all(&text).await?;
                stream.write_all(b"\r\n").await?;
                if breaks_off {
                    return stream.flush().await;
                }
            }
            stream.flush().await?;
            if is_over || !follows {
                break;
            }
            let _ = timeout(Duration::from_millis(200), more).await;
        }
        stream.write_all(b"0\r\n\r\n").await?;
        stream.flush().await
    }
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

/// A pod that has ended, or never began, and is to go: its node says that it may.
async fn forget(pods: Api<Pod>, name: String) {
    for _ in 0..50 {
        match pods.delete(&name, &DeleteParams::default().grace_period(0)).await {
            Ok(_) => return,
            Err(kube::Error::Api(error)) if error.code == 404 => return,
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn value_of(
    variable: &EnvVar,
    secrets: &Api<Secret>,
    before: &[(String, String)],
) -> Result<String, String> {
    let Some(from) = variable.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref()) else {
        return Ok(expanded(variable.value.as_deref().unwrap_or_default(), before));
    };
    let secret = secrets.get(&from.name).await.map_err(|error| error.to_string())?;
    let data = secret.data.unwrap_or_default();
    let value = data.get(&from.key).ok_or_else(|| format!("couldn't find key {} in Secret", from.key))?;
    Ok(String::from_utf8_lossy(&value.0).into_owned())
}

/// As Kubernetes reads a word: `$$` is `$`, `$(NAME)` a variable that is known.
fn expanded(word: &str, environment: &[(String, String)]) -> String {
    let (mut told, mut rest) = (String::new(), word);
    while let Some(at) = rest.find('$') {
        told.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            told.push('$');
            rest = after;
        } else if let Some((name, behind)) = after.strip_prefix('(').and_then(|after| after.split_once(')')) {
            match environment.iter().find(|(known, _)| known == name) {
                Some((_, value)) => told.push_str(value),
                None => told.extend(["$(", name, ")"]),
            }
            rest = behind;
        } else {
            told.push('$');
            rest = after;
        }
    }
    told + rest
}

async fn listen(
    container: Arc<Started>,
    out: impl tokio::io::AsyncRead + Unpin,
    error: impl tokio::io::AsyncRead + Unpin,
) {
    tokio::join!(lines(&container, out), lines(&container, error));
}

async fn lines(container: &Started, from: impl tokio::io::AsyncRead + Unpin) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while matches!(from.read_until(b'\n', &mut line).await, Ok(read) if read > 0) {
        container.log.lock().unwrap().push((Timestamp::now(), std::mem::take(&mut line)));
        container.more.notify_waiters();
    }
}

/// To the first process of the container, which is the child of `unshare`.
fn signal(child: &Child, signal: &str) {
    let Some(id) = child.id() else { return };
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    for first in children.split_whitespace() {
        let _ = std::process::Command::new("kill").args([signal, first]).status();
    }
}

fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
