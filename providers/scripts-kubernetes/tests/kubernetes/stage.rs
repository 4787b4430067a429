//! What the stories are played on: one cluster for all of them, a namespace for each, and the provider's part.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

use guichet_provider_scripts::{Scripts, Settings};
use guichet_provider_scripts_kubernetes::{Cluster, Kubernetes, KubernetesRunner};
use guichet_provider_sdk::bench::{Bench, LongRun};
use guichet_testkit::{patience::until, skipped};
use guichet_throwaway_kubernetes::{ADMIN, ControlPlane, PROVIDER, missing};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Pod, Secret},
};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    runtime::Runtime,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::stand_in_kubelet::StandIn;

/// The cluster of all stories. Each has a part in it as long as it lasts; who restarts something in it takes it whole.
pub(crate) struct World {
    pub(crate) plane: RwLock<ControlPlane>,
    pub(crate) kubelet: StandIn,
}

static WORLD: OnceLock<Option<World>> = OnceLock::new();

/// The cluster; none on a machine that has none, which is told.
pub(crate) fn world() -> Option<&'static World> {
    if let Some(why) = missing() {
        skipped(&why);
        return None;
    }
    WORLD.get_or_init(|| Some(std::thread::spawn(begin).join().unwrap())).as_ref()
}

fn begin() -> World {
    guichet_testkit::bench::install_tls();
    let plane = ControlPlane::start().unwrap();
    // The kubelet lives as long as this program, and not as long as the story that came first.
    let runtime: &'static Runtime = Box::leak(Box::new(Runtime::new().unwrap()));
    let kubelet = runtime.block_on(async {
        let (paper, folder) = (plane.kubelet_paper(), plane.dir().join("pods"));
        fs::create_dir(&folder).unwrap();
        for place in [plane.dir(), &folder] {
            fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
        }
        StandIn::open(client(&plane, ADMIN).await, &paper.certificate, &paper.key, &folder).await
    });
    World { plane: RwLock::new(plane), kubelet }
}

async fn client(plane: &ControlPlane, token: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(&plane.kubeconfig(token)).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// A namespace, a folder of scripts, and a place where scripts leave traces.
pub(crate) struct Stage {
    pub(crate) namespace: String,
    pub(crate) folder: TempDir,
    pub(crate) traces: TempDir,
    pub(crate) admin: Client,
    plane: Plane,
}

/// The cluster as a story has it.
enum Plane {
    Shared(RwLockReadGuard<'static, ControlPlane>),
    Whole(RwLockWriteGuard<'static, ControlPlane>),
}

impl Stage {
    /// With all that the page says a provider needs.
    pub(crate) async fn set(world: &'static World, namespace: &str, scripts: &[(&str, &str)]) -> Self {
        Self::bare(world, namespace, scripts).await.furnished().await
    }

    /// The same with no other story on the cluster, so that something in it can be killed.
    pub(crate) async fn alone(world: &'static World, namespace: &str, scripts: &[(&str, &str)]) -> Self {
        let plane = Plane::Whole(world.plane.write().await);
        Self::on(plane, namespace, scripts).await.furnished().await
    }

    async fn furnished(self) -> Self {
        let stage = self;
        stage.apply(|_| true).await;
        // The controllers give a namespace its service account by and by, and without that no pod is made.
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::namespaced(stage.admin.clone(), &stage.namespace);
        until("the default service account", || async { accounts.get_opt("default").await.ok().flatten() })
            .await;
        stage
    }

    /// With a namespace, and no rights.
    pub(crate) async fn bare(world: &'static World, namespace: &str, scripts: &[(&str, &str)]) -> Self {
        Self::on(Plane::Shared(world.plane.read().await), namespace, scripts).await
    }

    async fn on(plane: Plane, namespace: &str, scripts: &[(&str, &str)]) -> Self {
        let (folder, traces) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::set_permissions(traces.path(), fs::Permissions::from_mode(0o777)).unwrap();
        fs::create_dir(folder.path().join("scripts")).unwrap();
        let own: &ControlPlane = match &plane {
            Plane::Shared(plane) => plane,
            Plane::Whole(plane) => plane,
        };
        fs::write(folder.path().join("kubeconfig"), own.kubeconfig(PROVIDER)).unwrap();
        fs::write(folder.path().join("token.secret"), "s3cr3t-t0ken\n").unwrap();
        let settings = format!(
            "folder = \"scripts\"\n[secrets.API_TOKEN]\nfile = \"token.secret\"\n\
             [kubernetes]\nnamespace = \"{namespace}\"\nimage = \"tools\"\nkubeconfig = \"kubeconfig\"\n"
        );
        fs::write(folder.path().join("scripts.toml"), settings).unwrap();
        let admin = client(own, ADMIN).await;
        let stage = Self { namespace: namespace.to_owned(), folder, traces, admin, plane };
        for (name, text) in scripts {
            stage.write(name, text);
        }
        stage.apply(|kind| kind == "Namespace").await;
        stage
    }

    /// What only a story that is alone may have.
    pub(crate) fn whole_plane(&mut self) -> Option<&mut ControlPlane> {
        match &mut self.plane {
            Plane::Whole(plane) => Some(plane),
            Plane::Shared(_) => None,
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let text = text.replace("TRACES", &self.traces.path().display().to_string());
        let file = self.folder.path().join("scripts").join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What the page tells its reader to make, for the provider of these stories.
    async fn apply(&self, takes: impl Fn(&str) -> bool) {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../walks/run-scripts-on-kubernetes.md");
        let page = fs::read_to_string(page).unwrap();
        let yaml = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
        for text in yaml.split("---\n") {
            let text = text.replace("guichet-scripts", &self.namespace);
            let mut whole: Value = serde_saphyr::from_str(&text).unwrap();
            let kind = whole["kind"].as_str().unwrap().to_owned();
            if !takes(&kind) {
                continue;
            }
            if kind == "RoleBinding" {
                whole["subjects"] =
                    json!([{"kind": "User", "name": PROVIDER, "apiGroup": "rbac.authorization.k8s.io"}]);
            }
            let (group, version) =
                whole["apiVersion"].as_str().unwrap().rsplit_once('/').unwrap_or(("", "v1"));
            let what = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
            let object: DynamicObject = serde_json::from_value(whole.clone()).unwrap();
            let api: Api<DynamicObject> = if kind == "Namespace" {
                Api::all_with(self.admin.clone(), &what)
            } else {
                Api::namespaced_with(self.admin.clone(), &self.namespace, &what)
            };
            match api.create(&PostParams::default(), &object).await {
                Err(kube::Error::Api(error)) if error.code == 409 => {}
                made => drop(made.unwrap()),
            }
        }
    }

    pub(crate) fn settings(&self) -> (Settings, Kubernetes) {
        let settings = Settings::from_file(&self.folder.path().join("scripts.toml")).unwrap();
        let kubernetes = Kubernetes::of(&settings, self.folder.path()).unwrap();
        (settings, kubernetes)
    }

    /// The provider as a new process would begin it, on the SDK's bench.
    pub(crate) async fn provider(&self) -> Bench {
        let (settings, kubernetes) = self.settings();
        let cluster = Cluster::connect(&kubernetes).await.unwrap();
        let runner = KubernetesRunner::new(cluster, kubernetes, &settings);
        let scripts = Scripts::run_by(settings, std::sync::Arc::new(runner), Vec::new());
        let (provider, findings) = scripts.provider("scripts");
        assert!(findings.is_empty(), "{findings:?}");
        Bench::new(provider).unwrap()
    }

    /// A run to its end, as a gateway brings it on.
    pub(crate) async fn run(&self, operation: &str, input: Value) -> (LongRun, Value) {
        let mut run = LongRun::new(operation, input);
        let outcome = run.to_its_end(&self.provider().await).await.unwrap();
        (run, outcome)
    }

    pub(crate) fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    pub(crate) async fn count(&self) -> (usize, usize, usize) {
        let all = ListParams::default();
        let jobs = self.jobs().list(&all).await.unwrap().items.len();
        let pods = self.pods().list(&all).await.unwrap().items.len();
        (jobs, pods, self.secrets().list(&all).await.unwrap().items.len())
    }

    /// The cluster takes a Job away when its pod is gone.
    pub(crate) async fn until_nothing_is_left(&self) {
        until("nothing to be left", || async { (self.count().await == (0, 0, 0)).then_some(()) }).await;
    }

    pub(crate) fn trace(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.traces.path().join(name)).ok()
    }

    pub(crate) async fn until_trace(&self, name: &str) -> String {
        let look = || async { self.trace(name).filter(|text| text.ends_with('\n')) };
        until(&format!("the trace {name}"), look).await
    }
}

/// The lines of a run's log.
pub(crate) fn lines(run: &LongRun) -> Vec<String> {
    let told = run.told.iter().filter(|(event, _)| event == "log");
    told.map(|(_, data)| data["line"].as_str().or(data.as_str()).unwrap_or_default().to_owned()).collect()
}

/// Whether any process has this among its arguments.
pub(crate) fn is_alive(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut words = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    words.any(|words| words.split(|byte| *byte == 0).any(|own| own == word.as_bytes()))
}

pub(crate) fn detail(outcome: &Value) -> &str {
    outcome["problem"]["detail"].as_str().unwrap_or_default()
}

/// How long something took.
pub(crate) fn since(begun: Instant) -> Duration {
    begun.elapsed()
}
