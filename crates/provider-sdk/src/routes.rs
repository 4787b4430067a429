//! Which action a request means: the document's paths and methods, and nothing else.

use http::{HeaderValue, Method};

/// Paths and methods of a provider.
#[derive(Default)]
pub(crate) struct Routes {
    paths: matchit::Router<usize>,
    known: Vec<(String, Vec<(Method, usize)>)>,
}

/// What a request's path and method meet.
pub(crate) enum Routed {
    /// This action, with the path's members still percent-encoded.
    Action(usize, Vec<(String, String)>),
    /// The path exists with these methods only.
    OtherMethods(HeaderValue),
    Nothing,
}

impl Routes {
    pub(crate) fn add(&mut self, method: Method, path: &str, action: usize) -> Result<(), String> {
        if let Some((_, methods)) = self.known.iter_mut().find(|(known, _)| known == path) {
            if methods.iter().any(|(known, _)| *known == method) {
                return Err(format!("{method} {path} is declared twice"));
            }
            methods.push((method, action));
            return Ok(());
        }
        self.paths
            .insert(path, self.known.len())
            .map_err(|error| format!("the path {path} cannot be used: {error}"))?;
        self.known.push((path.to_owned(), vec![(method, action)]));
        Ok(())
    }

    pub(crate) fn find(&self, method: &Method, path: &str) -> Routed {
        let Ok(found) = self.paths.at(path) else { return Routed::Nothing };
        let Some((_, methods)) = self.known.get(*found.value) else { return Routed::Nothing };
        if let Some((_, action)) = methods.iter().find(|(known, _)| known == method) {
            let members = found.params.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            return Routed::Action(*action, members);
        }
        let allowed: Vec<&str> = methods.iter().map(|(method, _)| method.as_str()).collect();
        let allowed = HeaderValue::from_str(&allowed.join(", "));
        Routed::OtherMethods(allowed.unwrap_or_else(|_| HeaderValue::from_static("")))
    }
}

/// The names in braces of a template: `/a/{b}` → `b`.
pub(crate) fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}
