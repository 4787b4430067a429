//! OpenAPI Overlay 1.0: what is added to somebody's document, or taken out of it, before it is read. The document itself stays
//! as it is, so that a newer one can take its place.
//!
//! Each action names its places with a JSONPath (RFC 9535). A path that finds nothing is a warning, since documents change. Whatever
//! cannot be understood is a fault, and so is what says something to Guichet about a place that is not there, since what was not
//! applied might be an approval.

use std::cmp::Reverse;

use serde_json::{Map, Value};
use serde_json_path::{JsonPath, NormalizedPath};

/// Actions that one overlay may have.
const MOST_ACTIONS: usize = 1_000;
/// Places that one action may find.
const MOST_PLACES: usize = 100_000;
const OF_OVERLAY: [&str; 4] = ["overlay", "info", "extends", "actions"];
const OF_ACTIONS: [&str; 4] = ["target", "description", "update", "remove"];

/// An overlay that was read and can be applied.
#[derive(Debug, Clone)]
pub struct Overlay {
    actions: Vec<Action>,
}

#[derive(Debug, Clone)]
struct Action {
    target: String,
    path: JsonPath,
    change: Change,
}

#[derive(Debug, Clone)]
enum Change {
    Update(Value),
    Remove,
    /// An action that only describes something.
    Nothing,
}

impl Overlay {
    /// Reads an overlay.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place: `/actions/2/target: …`.
    pub fn read(overlay: &Value) -> Result<Self, Vec<String>> {
        let Value::Object(fields) = overlay else {
            return Err(vec![
                "an overlay is an object with `overlay: 1.0.0`, `info` and `actions`".to_owned(),
            ]);
        };
        let mut faults = Vec::new();
        match fields.get("overlay").and_then(Value::as_str) {
            Some(version) if version == "1.0" || version.starts_with("1.0.") => {}
            Some(version) => {
                faults.push(format!("/overlay: this is an overlay of version {version}, and 1.0 is read"));
            }
            None => faults.push("/overlay: `overlay: 1.0.0` is missing".to_owned()),
        }
        unknown(fields, "", &OF_OVERLAY, &mut faults);
        let mut actions = Vec::new();
        match fields.get("actions") {
            Some(Value::Array(list)) if list.len() <= MOST_ACTIONS => {
                for (position, said) in list.iter().enumerate() {
                    actions.extend(action(said, &format!("/actions/{position}"), &mut faults));
                }
            }
            Some(Value::Array(_)) => faults.push(format!("/actions: there are more than {MOST_ACTIONS}")),
            _ => faults
                .push("/actions: `actions` is a list of {target, update} and {target, remove}".to_owned()),
        }
        if faults.is_empty() { Ok(Self { actions }) } else { Err(faults) }
    }

    /// Applies it, one action after the other. Gives what deserves a look: actions whose target is not there.
    ///
    /// # Errors
    /// What cannot be applied, each with its action and target; the document is then of no use. So is what says something to
    /// Guichet about a place that is not there: an approval that is wanted must not get lost by a slip of the pen.
    pub fn apply(&self, document: &mut Value) -> Result<Vec<String>, Vec<String>> {
        let (mut warnings, mut faults) = (Vec::new(), Vec::new());
        for (position, action) in self.actions.iter().enumerate() {
            let target = &action.target;
            let found = action.path.query_located(document);
            let mut places: Vec<String> =
                found.locations().take(MOST_PLACES + 1).map(NormalizedPath::to_json_pointer).collect();
            let mut fault =
                |why: &str| faults.push(format!("overlay: /actions/{position}: `{target}`: {why}"));
            if places.is_empty() && action.speaks_of_guichet() {
                fault(
                    "it finds nothing in this document, and it says what Guichet must know of an operation, such as who approves \
                     it: correct it, or take the action out",
                );
            } else if places.is_empty() {
                warnings.push(format!(
                    "overlay: /actions/{position}: `{target}` finds nothing in this document; correct it, or take the action out"
                ));
            }
            if places.len() > MOST_PLACES {
                fault("it finds more places than can be changed; narrow it");
                continue;
            }
            match &action.change {
                Change::Nothing => {}
                Change::Update(update) => {
                    for place in &places {
                        let merged = document.pointer_mut(place).map(|found| merge(found, update));
                        if let Some(Err(why)) = merged {
                            fault(why);
                        }
                    }
                }
                Change::Remove => {
                    // The last first, so that the numbers of those before it stay; each once.
                    places.sort_by_cached_key(|place| Reverse(order(place)));
                    places.dedup();
                    for place in &places {
                        if place.is_empty() {
                            fault("the whole document cannot be removed");
                        }
                        remove(document, place);
                    }
                }
            }
        }
        if faults.is_empty() { Ok(warnings) } else { Err(faults) }
    }
}

impl Action {
    /// Whether it says something with `x-guichet`.
    fn speaks_of_guichet(&self) -> bool {
        fn speaks(value: &Value) -> bool {
            match value {
                Value::Object(members) => {
                    members.iter().any(|(name, value)| name == "x-guichet" || speaks(value))
                }
                Value::Array(items) => items.iter().any(speaks),
                _ => false,
            }
        }
        matches!(&self.change, Change::Update(update) if self.target.contains("x-guichet") || speaks(update))
    }
}

fn action(said: &Value, place: &str, faults: &mut Vec<String>) -> Option<Action> {
    let Value::Object(fields) = said else {
        faults.push(format!("{place}: an action is an object with `target`, and `update` or `remove`"));
        return None;
    };
    unknown(fields, place, &OF_ACTIONS, faults);
    let Some(target) = fields.get("target").and_then(Value::as_str) else {
        faults.push(format!(
            "{place}/target: `target` is missing: a JSONPath such as `$.paths['/silences'].post`"
        ));
        return None;
    };
    let change = match (fields.get("remove"), fields.get("update")) {
        (Some(Value::Bool(true)), _) => Change::Remove,
        (None | Some(Value::Bool(false)), Some(update)) => Change::Update(update.clone()),
        (None | Some(Value::Bool(false)), None) => Change::Nothing,
        (Some(_), _) => {
            faults.push(format!("{place}/remove: `remove` of `{target}` is true or false"));
            return None;
        }
    };
    match JsonPath::parse(target) {
        Ok(path) => Some(Action { target: target.to_owned(), path, change }),
        Err(error) => {
            faults.push(format!("{place}/target: `{target}` is no JSONPath (RFC 9535): {error}"));
            None
        }
    }
}

/// A field with a typing mistake would be an update that nobody sees missing.
fn unknown(fields: &Map<String, Value>, place: &str, known: &[&str], faults: &mut Vec<String>) {
    for name in fields.keys().filter(|name| !known.contains(&name.as_str()) && !name.starts_with("x-")) {
        faults
            .push(format!("{place}/{name}: there is no field `{name}` here; there are {}", known.join(", ")));
    }
}

/// Objects are merged member by member, to lists an entry is added.
fn merge(into: &mut Value, update: &Value) -> Result<(), &'static str> {
    match (into, update) {
        (Value::Object(members), Value::Object(updates)) => {
            for (name, update) in updates {
                match members.get_mut(name) {
                    Some(member @ Value::Object(_)) if update.is_object() => merge(member, update)?,
                    // Below what was found, a list is made longer by a list (Overlay 1.0, Action Object).
                    Some(Value::Array(items)) if update.is_array() => {
                        items.extend(update.as_array().into_iter().flatten().cloned());
                    }
                    _ => {
                        members.insert(name.clone(), update.clone());
                    }
                }
            }
            Ok(())
        }
        (Value::Object(_), _) => Err("an object is found there, so `update` is an object"),
        (Value::Array(items), entry) => {
            items.push(entry.clone());
            Ok(())
        }
        _ => Err("a plain value is found there; let the target find the object that has it"),
    }
}

/// Where a place stands among others: items of a list by their number.
fn order(pointer: &str) -> Vec<(usize, String)> {
    pointer.split('/').map(|token| (token.parse().unwrap_or_default(), token.to_owned())).collect()
}

fn remove(document: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    match document.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.shift_remove(&last.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            if let Some(position) = last.parse().ok().filter(|position: &usize| *position < items.len()) {
                items.remove(position);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "tables of JSON read best when they are handed over")]
    fn overlay(actions: Value) -> Value {
        json!({"overlay": "1.0.0", "info": {"title": "T", "version": "1"}, "actions": actions})
    }

    fn document() -> Value {
        json!({
            "openapi": "3.0.0", "info": {"title": "T", "version": "1"},
            "paths": {
                "/silences": {"get": {"operationId": "list", "tags": ["a"]}, "post": {"operationId": "post"}},
                "/status": {"get": {"operationId": "status", "x-internal": true, "tags": []}},
            },
        })
    }

    #[test]
    fn actions_are_applied_in_their_order() {
        let overlay = Overlay::read(&overlay(json!([
            {"target": "$.paths['/silences'].post", "update": {"x-guichet": {"approval": {"by": "team:oncall"}}}},
            {"target": "$.paths['/silences'].post['x-guichet']", "update": {"timeout": "5s"}},
            {"target": "$.paths.*.get", "update": {"tags": ["b"], "operationId": "other"}},
            {"target": "$.paths.*[?@['x-internal'] == true]", "remove": true},
            {"target": "$.paths['/silences'].get.tags", "update": "c"},
            {"target": "$.paths['/nothing']", "update": {"description": "said of nothing"}},
            {"target": "$.paths['/silences'].get.tags[0]", "remove": true, "description": "d"},
        ])))
        .unwrap();
        let mut document = document();
        let warnings = overlay.apply(&mut document).unwrap();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("/actions/5: `$.paths['/nothing']` finds nothing"), "{warnings:?}");
        assert_eq!(
            document["paths"],
            json!({
                "/silences": {
                    "get": {"operationId": "other", "tags": ["b", "c"]},
                    "post": {"operationId": "post",
                        "x-guichet": {"approval": {"by": "team:oncall"}, "timeout": "5s"}},
                },
                "/status": {},
            })
        );
    }

    #[test]
    fn an_approval_does_not_get_lost_by_a_slip_of_the_pen() {
        let approval = json!({"x-guichet": {"approval": {"by": "team:oncall"}}});
        for (target, update) in [
            ("$.paths['/silence'].post", approval.clone()),
            ("$.paths['/silence']", json!({"post": approval})),
            ("$.paths['/silences'].post['x-guichet']", json!({"approval": {"by": "team:oncall"}})),
        ] {
            let overlay = Overlay::read(&overlay(json!([{"target": target, "update": update}]))).unwrap();
            let faults = overlay.apply(&mut document()).unwrap_err();
            assert!(
                faults.len() == 1 && faults[0].contains(target) && faults[0].contains("finds nothing"),
                "{faults:?}"
            );
        }
    }

    #[test]
    fn items_are_removed_by_the_numbers_they_had() {
        let numbers = || json!({"list": (0..12).collect::<Vec<_>>()});
        for (target, left) in [
            ("$.list[2, 0, 2, 10]", vec![1, 3, 4, 5, 6, 7, 8, 9, 11]),
            ("$.list[?@ > 1]", vec![0, 1]),
            ("$.list[-1]", (0..11).collect()),
        ] {
            let mut document = numbers();
            Overlay::read(&overlay(json!([{"target": target, "remove": true}])))
                .unwrap()
                .apply(&mut document)
                .unwrap();
            assert_eq!(document, json!({"list": left}), "{target}");
        }
    }

    #[test]
    fn faults_name_their_action_and_target() {
        for (whole, words) in [
            (json!([]), "an overlay is an object"),
            (json!({"overlay": "2.0.0", "actions": []}), "/overlay: this is an overlay of version 2.0.0"),
            (json!({"overlay": "1.0.0"}), "/actions: `actions` is a list"),
            (overlay(json!([{"update": {}}])), "/actions/0/target: `target` is missing"),
            (overlay(json!([{"target": "$.a["}])), "/actions/0/target: `$.a[` is no JSONPath"),
            (overlay(json!([{"target": "$.a", "updat": {}}])), "/actions/0/updat: there is no field `updat`"),
            (overlay(json!([{"target": "$.a", "remove": "yes"}])), "/actions/0/remove"),
        ] {
            let faults = Overlay::read(&whole).unwrap_err();
            assert!(faults.iter().any(|fault| fault.starts_with(words)), "{words}: {faults:?}");
        }
        for (target, change, words) in [
            ("$.info.title", json!("U"), "a plain value is found"),
            ("$.paths['/status']", json!(7), "`update` is an object"),
        ] {
            let read = Overlay::read(&overlay(json!([{"target": target, "update": change}]))).unwrap();
            let faults = read.apply(&mut document()).unwrap_err();
            assert!(faults[0].contains(target) && faults[0].contains(words), "{faults:?}");
        }
        let whole = Overlay::read(&overlay(json!([{"target": "$", "remove": true}]))).unwrap();
        assert!(whole.apply(&mut document()).unwrap_err()[0].contains("whole document"));
    }
}
