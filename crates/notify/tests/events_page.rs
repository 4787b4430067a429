//! `docs/events.md` tells every member and every occasion, and its example is a message.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a page that cannot be read has failed")]

use std::{fs, path::Path};

use guichet_contract::{Message, Occasion, event_schema};
use serde_json::Value;

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md")).unwrap()
}

fn example(page: &str) -> Value {
    let begin = page.find("```json\n").expect("an example") + 8;
    let end = begin + page[begin..].find("```").expect("its end");
    serde_json::from_str(&page[begin..end]).unwrap()
}

#[test]
fn every_member_and_every_occasion_is_told() {
    let schema = serde_json::to_value(schemars::schema_for!(Message)).unwrap();
    let members = schema["properties"].as_object().unwrap();
    assert!(members.len() > 25, "{members:?}");
    let page = page();
    let untold: Vec<&String> =
        members.keys().filter(|member| !page.contains(&format!("`{member}`"))).collect();
    assert!(untold.is_empty(), "docs/events.md does not tell {untold:?}");
    for occasion in Occasion::ALL {
        assert!(page.contains(&format!("| `{occasion}` |")), "docs/events.md does not tell {occasion}");
    }
}

#[test]
fn the_example_is_a_message_and_comes_out_as_it_stands() {
    let example = example(&page());
    let message: Message = serde_json::from_value(example["data"].clone()).unwrap();
    assert_eq!(serde_json::to_value(&message).unwrap(), example["data"]);
    assert_eq!(example["type"], format!("dev.guichet.{}", message.occasion));
    assert_eq!((&example["id"], &example["subject"]), (&example["data"]["id"], &example["data"]["run"]));
    assert!(message.run.to_string().ends_with(&message.short_id));
}

fn required(occasion: Occasion) -> Vec<String> {
    let schema = event_schema::data_schema(occasion);
    schema["required"].as_array().unwrap().iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_table_of_types_is_what_their_schemas_say() {
    let page = page();
    let always = required(Occasion::RunEnded);
    let list: Vec<String> = always.iter().map(|member| format!("`{member}`")).collect();
    let (last, others) = list.split_last().expect("members");
    let sentence = format!("Every event has {} and {last}.", others.join(", "));
    assert!(page.contains(&sentence), "docs/events.md does not say: {sentence}");
    for occasion in Occasion::ALL {
        let more: Vec<String> = required(occasion)
            .into_iter()
            .filter(|member| !always.contains(member))
            .map(|member| format!("`{member}`"))
            .collect();
        let row =
            format!("| `{}` | {} |", event_schema::type_of(occasion), more.join(", ")).replace("|  |", "| |");
        assert!(page.contains(&row), "docs/events.md does not tell: {row}");
    }
}

#[test]
fn the_example_is_what_its_schema_says() {
    let example = example(&page());
    let occasion = event_schema::occasion_of(example["type"].as_str().unwrap()).unwrap();
    let schema = event_schema::event_schema(occasion);
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let faults: Vec<String> = validator.iter_errors(&example).map(|fault| fault.to_string()).collect();
    assert_eq!(faults, Vec::<String>::new());
}
