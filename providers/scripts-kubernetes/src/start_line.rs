//! The fixed lines that begin in every container: is the program what was approved, start it, hand on signals, wait for it.
//!
//! No value stands in their text: digest, name and arguments come as arguments of the shell, the input as a file. They copy the
//! program first and look at the copy, so that there is no moment between the look and the start.

/// Where the Secret with program and input is mounted.
pub(crate) const GIVEN: &str = "/guichet/given";
/// A folder of the run's own: a copy of the program, and its home.
pub(crate) const OWN: &str = "/guichet/own";
/// `HOME`, and the folder it begins in.
pub(crate) const HOME: &str = "/guichet/own/home";
/// The exit code of these lines when they did not start the program; what they then say is [`ANOTHER`] or [`NO_COPY`].
pub(crate) const NOT_STARTED: i32 = 120;
/// The program in the Secret is not what was laid down.
pub(crate) const ANOTHER: &str = "guichet: another program";
/// The program could not be copied.
pub(crate) const NO_COPY: &str = "guichet: no copy";

/// For `sh -c`, with digest, name, and the program's own arguments after it.
///
/// The first process of a container ignores what it does not handle, so it is this shell and never the program. SIGTERM goes on to
/// all that are in the container, also to who left its group, and all have the time of grace; where it is not the first, to its
/// group. When it ends, the kernel ends all that is left.
pub(crate) const START: &str = r#"digest=$1 name=$2; shift 2
fail() { printf %s "$1" 2>/dev/null >/dev/termination-log; exit 120; }
own=/guichet/own
mkdir -p "$own/home" "$own/program" && cp /guichet/given/program "$own/program/$name" && chmod 0555 "$own/program/$name" && cd "$own/home" || fail 'guichet: no copy'
case $(sha256sum <"$own/program/$name") in "$digest "*) ;; *) fail 'guichet: another program' ;; esac
all=0; [ $$ = 1 ] && all=-1
trap 'told=1; trap "" TERM INT HUP; kill -TERM $all' TERM INT HUP
"$own/program/$name" "$@" </guichet/given/input &
child=$!
wait "$child"; code=$?
while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
[ $$ = 1 ] && while [ "${told-}" ] && kill -0 -1 2>/dev/null; do sleep 0.1 2>/dev/null || sleep 1 || break; done
exit "$code""#;

/// A word of `command` or `args` as Kubernetes must be given it: it reads `$(NAME)` as a variable, and `$$` as `$`.
pub(crate) fn literal(word: &str) -> String {
    word.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        process::{Command, Stdio},
        time::Duration,
    };

    use super::*;

    /// The same lines with other folders, by a real shell, as a leader of its own group, as in a container.
    fn start(folder: &std::path::Path, program: &str, digest: &str, arguments: &[&str]) -> Command {
        fs::create_dir(folder.join("given")).unwrap();
        fs::write(folder.join("given/program"), program).unwrap();
        fs::write(folder.join("given/input"), "{\"a\": 1}").unwrap();
        let text = START
            .replace("/guichet", &folder.display().to_string())
            .replace("/dev/termination-log", &folder.join("said").display().to_string());
        let mut shell = Command::new("setsid");
        shell.args(["--wait", "/bin/sh", "-c", &text, "guichet", digest, "x y.sh"]).args(arguments);
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    }

    fn digest(text: &str) -> String {
        guichet_contract::Digest::of_bytes(text.as_bytes()).to_string().replace("sha256:", "")
    }

    #[test]
    fn words_and_input_arrive_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let program = "#!/bin/sh\nprintf '%s|' \"$@\"\ncat\npwd\nexit 7\n";
        let words = ["a b", "$(touch pwned) `id` $$ \"'", ""];
        let output = start(folder.path(), program, &digest(program), &words).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(7), "{said} {}", String::from_utf8_lossy(&output.stderr));
        let home = folder.path().join("own/home");
        assert_eq!(said, format!("a b|$(touch pwned) `id` $$ \"'||{{\"a\": 1}}{}\n", home.display()));
    }

    #[test]
    fn another_program_is_not_started() {
        let folder = tempfile::tempdir().unwrap();
        let program = "#!/bin/sh\necho started\n";
        let output = start(folder.path(), program, &digest("approved"), &[]).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(NOT_STARTED), b"".as_slice()));
        assert_eq!(fs::read_to_string(folder.path().join("said")).unwrap(), ANOTHER);
        let folder = tempfile::tempdir().unwrap();
        let mut shell = start(folder.path(), program, &digest(program), &[]);
        fs::remove_file(folder.path().join("given/program")).unwrap();
        assert_eq!(shell.output().unwrap().status.code(), Some(NOT_STARTED));
        assert_eq!(fs::read_to_string(folder.path().join("said")).unwrap(), NO_COPY);
    }

    #[test]
    fn a_term_reaches_the_program_and_its_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let program = "#!/bin/sh\ntrap 'sleep 0.3; echo tidied; exit 9' TERM\necho $PPID >$HOME/shell\nsleep 60 &\nwait\n";
        let mut shell = start(folder.path(), program, &digest(program), &[]);
        let running = shell.env("HOME", folder.path()).spawn().unwrap();
        let shell = loop {
            let said = fs::read_to_string(folder.path().join("shell")).unwrap_or_default();
            if said.ends_with('\n') {
                break said.trim().to_owned();
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        // The program's parent is the shell, which is the first of its container.
        assert!(Command::new("kill").args(["-TERM", &shell]).status().unwrap().success());
        let output = running.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(9), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, b"tidied\n");
    }

    #[test]
    fn a_term_reaches_also_who_left_the_group() {
        let apart = ["--pid", "--fork", "--kill-child"];
        let can = Command::new("unshare").args(apart).arg("true").stderr(Stdio::null()).status();
        if !can.is_ok_and(|status| status.success()) {
            return guichet_testkit::skipped("unshare cannot make a process namespace; run as root");
        }
        let folder = tempfile::tempdir().unwrap();
        let apart_from_it = "trap \"sleep 0.3; echo tidied >$AT/apart; exit\" TERM; echo >$AT/there; while :; do sleep 0.1; done";
        let program = format!("#!/bin/sh\nsetsid sh -c '{apart_from_it}' &\nwhile :; do sleep 0.1; done\n");
        let text = start(folder.path(), &program, "", &[]);
        let text = text.get_args().nth(3).unwrap().to_owned();
        // In a group of its own, too: what it tells its group to do must not reach who tests.
        let mut first = Command::new("setsid");
        first.args(["--wait", "unshare"]).args(apart).args(["/bin/sh", "-c"]).arg(text);
        first.args(["guichet", &digest(&program), "x.sh"]);
        first.env("AT", folder.path()).stdin(Stdio::null());
        let mut unshare = first.spawn().unwrap();
        while !folder.path().join("there").exists() {
            assert_eq!(unshare.try_wait().unwrap(), None, "it ended too early");
            std::thread::sleep(Duration::from_millis(10));
        }
        let id = unshare.id();
        let shell = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        assert!(Command::new("kill").args(["-TERM", shell.trim()]).status().unwrap().success());
        let status = unshare.wait().unwrap();
        assert!(!status.success(), "{status}");
        assert_eq!(fs::read_to_string(folder.path().join("apart")).unwrap(), "tidied\n");
    }

    #[test]
    fn nothing_is_a_variable_of_kubernetes() {
        assert_eq!(literal("$(HOME) $$ a"), "$$(HOME) $$$$ a");
    }
}
