//! From scripts to a provider's declarations. One that contradicts itself is left out and told; the others stay.

use std::time::Duration;

use guichet_contract::Effect;
use guichet_provider_sdk::{ApprovalBy, Provider, approvers, provider as declare, with};
use serde_json::{Value, json};

use crate::{
    findings::Finding,
    folder::Folder,
    header::Approval,
    perform::{self, Shop},
    script::Script,
};

/// The provider of these scripts, and what is wrong with those that are not in it.
pub(crate) fn provider(name: &str, shop: &Shop, folder: Folder) -> (Provider, Vec<Finding>) {
    let Folder { mut scripts, mut findings } = folder;
    scripts.retain(|script| {
        let mut mistakes = shop.runner.mistakes(&script.program, script.header.image.as_deref());
        if let Some(plan) = script.plan_program() {
            mistakes.extend(shop.runner.mistakes(plan, script.header.image.as_deref()));
        }
        mistakes.sort();
        mistakes.dedup();
        let is_good = mistakes.is_empty();
        findings.extend(mistakes.into_iter().map(|why| Finding::fault(&script.path, None, why)));
        is_good
    });
    while let Err(mistakes) = of(name, shop, &scripts).check() {
        let before = scripts.len();
        scripts.retain(|script| {
            let prefix = format!("action `{}`: ", script.operation);
            let mut own = mistakes.0.iter().filter_map(|mistake| mistake.strip_prefix(&prefix)).peekable();
            let is_good = own.peek().is_none();
            findings.extend(own.map(|why| Finding::fault(&script.path, None, why)));
            is_good
        });
        if scripts.len() == before {
            // Whose mistake it is cannot be told by its words: one after the other, as long as all is well.
            let mut good: Vec<Script> = Vec::new();
            for script in scripts {
                good.push(script);
                if let Err(mistakes) = of(name, shop, &good).check()
                    && let Some(script) = good.pop()
                {
                    findings.push(Finding::fault(&script.path, None, mistakes.0.join("; ")));
                }
            }
            scripts = good;
            break;
        }
    }
    let left_out: Vec<String> =
        findings.iter().filter(|finding| finding.grave).map(Finding::without_folder).collect();
    (of(name, shop, &scripts).left_out(left_out), findings)
}

fn of(name: &str, shop: &Shop, scripts: &[Script]) -> Provider {
    let provider = declare(name).title("Scripts").description("Scripts of a folder, as actions.");
    scripts.iter().fold(provider, |provider, script| add(provider, shop, script.clone()))
}

fn add(provider: Provider, shop: &Shop, script: Script) -> Provider {
    let script = script.shared();
    let header = &script.header;
    let state = (shop.clone(), std::sync::Arc::clone(&script));
    let performs = with(&state, |(shop, script): (Shop, std::sync::Arc<Script>), context, input: Value| {
        perform::perform(shop, script, context, input)
    });
    let mut action = provider
        .action_with_schema(script.operation.clone(), header.schema(), json!(true), performs)
        .title(header.title.clone())
        .timeout(Duration::from_secs(script.seconds) + shop.runner.margin());
    action = match header.effect() {
        Effect::Read => action.read(),
        effect => {
            let plans =
                with(&state, |(shop, script): (Shop, std::sync::Arc<Script>), context, input: Value| {
                    perform::plan(shop, script, context, input)
                });
            let mut action = action.plan(plans).long();
            if shop.runner.lasting().is_some() {
                let recalls =
                    with(&state, |(shop, script): (Shop, std::sync::Arc<Script>), context, input: Value| {
                        perform::recall(shop, script, context, input)
                    });
                action = action.resumable().recall(recalls);
            }
            if effect == Effect::Destroy { action.destroy() } else { action.change() }
        }
    };
    if let Some(text) = &header.description {
        action = action.description(text.clone());
    }
    if let Some(words) = &header.command {
        action = action.command(words.clone());
    }
    if let Some(template) = &header.resource {
        action = action.resource(template.clone());
    }
    if let Some(template) = &header.concurrency {
        action = action.concurrency(template.clone());
    }
    if let Some(approval) = &header.approval {
        action = action.approval(approval_of(approval));
    }
    if header.confirm {
        action = action.confirm();
    }
    if header.idempotent {
        action = action.idempotent();
    }
    if let Some(view) = &header.view {
        action = action.view(view.clone());
    }
    for (member, declared) in &header.inputs {
        if let Some(options) = &declared.options {
            action = action.options(member.clone(), options.clone());
        }
    }
    for example in &header.examples {
        action = action.example(example.title.clone(), example.input.clone());
    }
    action.done()
}

fn approval_of(approval: &Approval) -> ApprovalBy {
    match approval {
        Approval::By(by) => approvers(by.clone()),
        Approval::Table(table) => {
            let mut by = approvers(table.by.clone());
            if let Some(count) = table.count {
                by = by.count(count);
            }
            if let Some(because) = &table.because {
                by = by.because(because.clone());
            }
            if let Some(expires) = &table.expires {
                by = by.expires(expires.as_str());
            }
            by
        }
    }
}
