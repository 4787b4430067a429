//! The words of a command when the document does not choose them: provider, tag, operation.

use std::collections::HashSet;

use crate::action::flag_name;

use super::operation::Draft;

/// `kafka`, `Topics`, `listTopics` → `["kafka", "topics", "list"]`: words that the provider or the tag already said
/// are dropped from the operation, unless nothing would be left of it.
pub(super) fn words(provider: &str, tag: Option<&str>, operation: &str) -> Vec<String> {
    let provider = flag_name(provider);
    let tag = tag.map(flag_name).filter(|tag| !tag.is_empty() && *tag != provider);
    let whole = flag_name(operation);
    let said: Vec<&str> = provider.split('-').chain(tag.iter().flat_map(|tag| tag.split('-'))).collect();
    let rest: Vec<&str> = whole.split('-').filter(|word| !said.contains(word)).collect();
    let last = if rest.is_empty() { whole.clone() } else { rest.join("-") };
    [Some(provider), tag, Some(last)].into_iter().flatten().filter(|word| !word.is_empty()).collect()
}

/// Gives a word more to commands that nobody chose and that another has, or that are the beginning of another: `shop users` and
/// `shop users list` become `shop users get-users` and `shop users list`. Whom the document names keeps its words.
pub(super) fn tell_apart(drafts: &mut [Draft]) {
    let mut groups: HashSet<Vec<String>> = HashSet::new();
    let mut taken: HashSet<Vec<String>> = HashSet::new();
    for draft in drafts.iter() {
        let command = &draft.action.command;
        groups.extend((1..command.len()).map(|length| command[..length].to_vec()));
        if draft.is_named {
            taken.insert(command.clone());
        }
    }
    for draft in drafts.iter_mut().filter(|draft| !draft.is_named) {
        let is_free = |command: &Vec<String>, taken: &HashSet<Vec<String>>| {
            !taken.contains(command)
                && !groups.contains(command)
                && (1..command.len()).all(|length| !taken.contains(&command[..length]))
        };
        let mut command = draft.action.command.clone();
        if !is_free(&command, &taken) {
            let name = operation_name(&draft.action.http.method, &draft.action.http.path);
            let is_group = groups.contains(&command);
            let stem = command[..command.len() - usize::from(!is_group && command.len() > 1)].to_vec();
            let whole = flag_name(&draft.action.operation);
            let with = |last: String| [stem.clone(), vec![last]].concat();
            let numbered = (2..).map(|number| with(format!("{name}-{number}")));
            let mut candidates = [with(whole), with(name.clone())].into_iter().chain(numbered);
            if let Some(free) = candidates
                .find(|candidate| candidate.iter().all(|word| !word.is_empty()) && is_free(candidate, &taken))
            {
                groups.extend((1..free.len()).map(|length| free[..length].to_vec()));
                command = free;
            }
        }
        taken.insert(command.clone());
        draft.action.command = command;
    }
}

/// A name for an operation that has none: `GET /clusters/{cluster}/topics` → `get-clusters-topics`, and
/// `GET /clusters/{cluster}` → `get-clusters-by-cluster`, so that an item and its list differ.
pub(super) fn operation_name(method: &str, path: &str) -> String {
    let mut words = vec![method.to_ascii_lowercase()];
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for (position, part) in parts.iter().enumerate() {
        let word = flag_name(part);
        if !part.contains('{') {
            words.push(word);
        } else if position + 1 == parts.len() {
            words.push("by".to_owned());
            words.push(word);
        }
    }
    words.retain(|word| !word.is_empty());
    words.join("-")
}

/// A title for an operation that has none: `listTopics` → `List topics`.
pub(super) fn title(operation: &str) -> String {
    let words = flag_name(operation).replace('-', " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => operation.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_said_once() {
        for (provider, tag, operation, expected) in [
            ("kafka", Some("Topics"), "listTopics", "kafka topics list"),
            ("kafka", Some("Consumer Groups"), "deleteConsumerGroup", "kafka consumer-groups delete-group"),
            ("petstore", Some("pet"), "getPetById", "petstore pet get-by-id"),
            ("petstore", Some("petstore"), "reset", "petstore reset"),
            ("petstore", None, "showInventory", "petstore show-inventory"),
            ("kafka", Some("topics"), "topics", "kafka topics topics"),
            ("shop", Some("日本"), "find", "shop find"),
        ] {
            assert_eq!(words(provider, tag, operation).join(" "), expected);
        }
    }

    #[test]
    fn an_operation_without_a_name_gets_one() {
        for (method, path, expected) in [
            ("GET", "/clusters/{c}/topics", "get-clusters-topics"),
            ("GET", "/clusters", "get-clusters"),
            ("GET", "/clusters/{clusterName}", "get-clusters-by-cluster-name"),
            ("POST", "/", "post"),
            ("DELETE", "/v1/files/{name}.json", "delete-v1-files-by-name-json"),
        ] {
            assert_eq!(operation_name(method, path), expected);
        }
    }

    #[test]
    fn a_title_reads_as_words() {
        assert_eq!(title("listTopics"), "List topics");
        assert_eq!(title("日本"), "日本");
    }
}
