//! TAB: from the cache, with no gateway running.

use crate::fake::Fake;

/// What the shell is offered for the last of these words.
fn offered(fake: &Fake, shell: &str, words: &[&str]) -> Vec<String> {
    let mut command = fake.command(&["--"]);
    let position = (words.len() - 1).to_string();
    command
        .args(words)
        .env("COMPLETE", shell)
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", position)
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn words_flags_and_values_are_offered_from_the_cache() {
    let mut fake = Fake::start();
    fake.stop();
    for shell in ["bash", "zsh", "fish"] {
        let has = |words: &[&str], wanted: &str| {
            let offered = offered(&fake, shell, words);
            assert!(
                offered.iter().any(|line| line.split([':', '\t']).next() == Some(wanted)),
                "{shell}: {wanted} is not among {offered:?}"
            );
        };
        has(&["guichet", ""], "rds");
        has(&["guichet", ""], "approvals");
        has(&["guichet", "rds", "c"], "cancel-query");
        has(&["guichet", "rds", "cancel-query", "--"], "--pid");
        has(&["guichet", "rds", "cancel-query", "--"], "--plan");
        has(&["guichet", "demo", "echo", "--size", ""], "large");
        let execute = ["guichet", "internal-action", "execute", "--service"];
        has(&[&execute[..], &[""]].concat(), "postgres");
        has(&[&execute[..], &["postgres", "--action", ""]].concat(), "cancel-query");
        let others = offered(&fake, shell, &[&execute[..], &["demo", "--action", ""]].concat());
        assert!(!others.iter().any(|line| line.contains("cancel-query")), "{shell}: {others:?}");
        has(&["guichet", "context", "use", ""], "staging");
        has(&["guichet", "--context", ""], "staging");
        assert!(!offered(&fake, shell, &["guichet", "rds", ""]).iter().any(|line| line.contains("echo")));
    }
}

#[test]
fn each_shell_gets_its_script() {
    let mut fake = Fake::start();
    fake.stop();
    for (shell, sign) in
        [("bash", "complete -o"), ("zsh", "#compdef guichet"), ("fish", "complete --keep-order")]
    {
        let (exit, out, _) = fake.run(&["completion", shell]);
        assert!(exit == 0 && out.contains(sign) && out.contains("COMPLETE"), "{shell}: {out}");
    }
    assert_eq!(fake.run(&["completion", "tcsh"]).0, 2);
}
