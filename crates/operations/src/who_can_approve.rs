//! Who can say yes to something: to a run that waits, or to what somebody would ask for.

use std::sync::Arc;

use guichet_admission::{Call, Refusal};
use guichet_contract::{AbleToApprove, Answer, Verb, WhoCanApprove};
use guichet_rules::{ApproveQuestion, Decision, Foresight};

use crate::{
    about::{About, Subject},
    explain_policy::{answer_of, on_the_side},
    platform::Platform,
};

/// What must be lifted, and who can lift it.
///
/// # Errors
/// No right to audit; an action, input or run that is none.
pub async fn who_can_approve(
    platform: &Arc<Platform>,
    call: &Call,
    about: &About,
) -> Result<WhoCanApprove, Refusal> {
    let subject = Subject::find(platform, call, about, Verb::WhoCanApprove).await?;
    let platform = Arc::clone(platform);
    on_the_side(move || told(&platform, subject)).await
}

fn told(platform: &Platform, subject: Subject) -> WhoCanApprove {
    let policies = &subject.world.policies;
    let (answer, conditions, reasons) = match subject.thought.ask(policies, &subject.principal) {
        Foresight::Depends(_) => (Answer::Depends, Vec::new(), Vec::new()),
        Foresight::Decided(decision) => {
            let answer = answer_of(&decision);
            match decision {
                Decision::NeedsApproval { conditions, .. } => (answer, conditions, Vec::new()),
                Decision::Refused { reasons } => {
                    (answer, Vec::new(), reasons.into_iter().map(|reason| reason.sentence).collect())
                }
                Decision::Allowed { .. } => (answer, Vec::new(), Vec::new()),
            }
        }
    };
    let able = subject.approvers(platform, &conditions);
    let approvals = subject.approvals(&conditions, &able);
    let able = able.into_iter().map(|(name, lifts)| {
        let because = conditions.iter().find(|condition| lifts.contains(&condition.policy));
        let permitted_by = permits(&subject, &name, because.map(|condition| condition.because.as_str()));
        AbleToApprove { name, lifts, policies: permitted_by }
    });
    WhoCanApprove {
        answer,
        able: able.collect(),
        reasons,
        approvals,
        action: subject.thought.action.action.id.clone(),
        run: subject.run.as_ref().map(|run| run.id),
        resource: subject.thought.resource.clone(),
        requester: subject.principal,
    }
}

/// Ids of the policies that permit this person to approve.
fn permits(subject: &Subject, name: &str, because: Option<&str>) -> Vec<String> {
    let approver = subject.world.principal(name, guichet_contract::PrincipalKind::Person);
    let action = &subject.thought.action.action;
    let decision = subject.world.policies.may_approve(&ApproveQuestion {
        approver: &approver,
        requester: &subject.principal,
        action: action.id.as_str(),
        effect: action.effect,
        resource: subject.thought.resource.as_deref().unwrap_or_default(),
        environment: &subject.thought.environment,
        because,
        now: subject.thought.now,
    });
    match decision {
        Decision::Allowed { policies, .. } => policies,
        _ => Vec::new(),
    }
}
