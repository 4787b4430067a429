//! Plans: what would be done, without doing it.

use std::collections::BTreeSet;

use guichet_contract::Plan;
use serde_json::{Value, json};

use super::Ended;
use crate::{
    Kit,
    answer::{Answer, Not},
};

async fn plan(kit: &Kit, name: &str) -> Result<(Answer, Plan), Not> {
    let call = kit.call("conformance-add", json!({"name": name, "amount": 2}))?;
    let answer = call.mode("plan").send().await?;
    let told = answer.result("a plan")?;
    match serde_json::from_value(told) {
        Ok(plan) => Ok((answer, plan)),
        Err(error) => Err(answer.not(&format!("a plan with `sentence`, `facts`, `bound` ({error})"))),
    }
}

pub(super) async fn changes_nothing(kit: &Kit) -> Ended {
    let name = crate::fresh("plan");
    let (answer, _) = plan(kit, &name).await?;
    kit.done(&name, 0, &answer.sent).await?;
    // The run has no id while it is only planned.
    let call = kit.call("conformance-add", json!({"name": name, "amount": 2}))?.mode("plan");
    let bare = call.claim("run", Value::Null).header("idempotency-key", "").send().await?;
    let _ = bare.result("a plan: before it is submitted there is no run")?;
    kit.done(&name, 0, &bare.sent).await?;
    // The plan's call is not the run's: it is done afterwards all the same.
    let call = kit.call("conformance-add", json!({"name": name, "amount": 2}))?;
    let _ = call.clone().mode("plan").send().await?.result("a plan")?;
    let done = call.send().await?;
    let _ = done.result("its result: the key was only planned with")?;
    kit.done(&name, 1, &done.sent).await
}

pub(super) async fn shape(kit: &Kit) -> Ended {
    let (answer, plan) = plan(kit, &crate::fresh("plan")).await?;
    let names: BTreeSet<&str> = plan.facts.iter().map(|fact| fact.name.as_str()).collect();
    if plan.sentence.trim().is_empty() {
        return Err(answer.not("a sentence"));
    }
    if names.len() != plan.facts.len() || names.contains("") {
        return Err(answer.not("facts with names of their own"));
    }
    let count = plan.facts.iter().find(|fact| fact.name == "count");
    if !count.is_some_and(|fact| fact.moves) {
        return Err(answer.not("the fact `count`, which `moves`"));
    }
    Ok(())
}

pub(super) async fn facts_typed(kit: &Kit) -> Ended {
    let action = kit.own("conformance-add")?;
    if action.facts.is_empty() {
        return Err(Not::Skipped("`conformance-add` declares no `facts`".to_owned()));
    }
    let (answer, plan) = plan(kit, &crate::fresh("plan")).await?;
    for (name, schema) in &action.facts {
        let Some(fact) = plan.facts.iter().find(|fact| fact.name == *name) else { continue };
        if !is_of(&fact.value, schema) {
            let kind = schema["type"].as_str().unwrap_or_default();
            return Err(answer.not(&format!("the fact `{name}` to be of type {kind}, as the document says")));
        }
    }
    let told = |name: &&String| plan.facts.iter().any(|fact| fact.name == **name);
    match action.facts.keys().find(|name| !told(name)) {
        None => Ok(()),
        Some(name) => Err(answer.not(&format!("the fact `{name}`, which the document declares"))),
    }
}

/// Whether a value is of a type that facts may have.
fn is_of(value: &Value, schema: &Value) -> bool {
    match schema["type"].as_str() {
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("string") => value.is_string(),
        Some("array") => {
            value.as_array().is_some_and(|items| items.iter().all(|item| is_of(item, &schema["items"])))
        }
        _ => false,
    }
}

pub(super) async fn same_twice(kit: &Kit) -> Ended {
    let name = crate::fresh("plan");
    let (_, first) = plan(kit, &name).await?;
    let done = kit.call("conformance-add", json!({"name": name, "amount": 2}))?.send().await?;
    let _ = done.result("its result")?;
    let (answer, second) = plan(kit, &name).await?;
    let drift = first.drift(&second);
    if drift.is_empty() {
        Ok(())
    } else {
        Err(answer.not(&format!("no drift from the first; there is: {}", drift.join("; "))))
    }
}

pub(super) async fn refused(kit: &Kit) -> Ended {
    let call = kit.call("conformance-add", json!({"name": crate::fresh("refused"), "amount": 2}))?;
    let answer = call.mode("plan").send().await?;
    answer.problem(&[409], "why it cannot be done").map(drop)
}

pub(super) async fn bound(kit: &Kit) -> Ended {
    let name = crate::fresh("plan");
    let (answer, plan) = plan(kit, &name).await?;
    let bound = plan.bound.ok_or_else(|| answer.not("`bound`, what the plan is about exactly"))?;
    let done =
        kit.call("conformance-add", json!({"name": name, "amount": 2}))?.planned(&bound).send().await?;
    if done.result("its result")?["planned"] != bound {
        return Err(done.not(&format!("`planned`: {bound}, as Guichet-Plan says")));
    }
    let free = kit.call("conformance-add", json!({"name": name, "amount": 2}))?.send().await?;
    if free.result("its result")?["planned"].is_null() {
        Ok(())
    } else {
        Err(free.not("`planned`: null, without Guichet-Plan"))
    }
}

pub(super) async fn other_input(kit: &Kit) -> Ended {
    let call = kit.call("conformance-add", json!({"name": crate::fresh("plan"), "amount": 2}))?.mode("plan");
    let digest = guichet_contract::Digest::of_json(&json!({}));
    call.claim("input", json!(digest)).send().await?.denied("`input` is the digest of another input")
}
