//! A control plane is born, its API server killed and born again, and all of it swept away.

use std::io::Write as _;

use guichet_throwaway_kubernetes::{ControlPlane, missing};

#[test]
fn a_control_plane_lives_and_is_gone() {
    if let Some(why) = missing() {
        // As guichet-testkit says it, which this room does not know.
        let told = format!("SKIPPED a_control_plane_lives_and_is_gone: {why}\n");
        std::io::stdout().lock().write_all(told.as_bytes()).unwrap();
        return;
    }
    let mut plane = ControlPlane::start().unwrap();
    let dir = plane.dir().to_owned();
    plane.kill_api_server().unwrap();
    plane.start_api_server().unwrap();
    assert!(plane.kubeconfig("x").contains("token: x"));
    drop(plane);
    assert!(!dir.exists());
}
