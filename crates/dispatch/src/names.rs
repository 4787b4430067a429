//! Host names become addresses. The guarded way leaves out addresses where nothing may ever be called: a name is anybody's
//! to point anywhere, also after it was checked.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use guichet_contract::address::is_never_called;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::Service;

/// The system's resolver, guarded or not.
#[derive(Clone)]
pub(crate) struct Names {
    system: GaiResolver,
    guarded: bool,
}

impl Names {
    /// For addresses that whoever runs the gateway has written down.
    pub(crate) fn any() -> Self {
        Self { system: GaiResolver::new(), guarded: false }
    }

    /// For all others.
    pub(crate) fn guarded() -> Self {
        Self { system: GaiResolver::new(), guarded: true }
    }
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.system.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (guarded, asked) = (self.guarded, name.to_string());
        let resolving = self.system.call(name);
        Box::pin(async move {
            let found: Vec<SocketAddr> = resolving.await?.collect();
            let left: Vec<SocketAddr> =
                found.iter().copied().filter(|address| !guarded || !is_never_called(address.ip())).collect();
            if left.is_empty() && !found.is_empty() {
                let why = format!("{asked} leads to addresses at which nothing is ever called");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            }
            Ok(left.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_nowhere_good_leads_nowhere() {
        let ask =
            async |mut names: Names, name: &str| names.call(name.parse().unwrap()).await.map(Iterator::count);
        assert!(ask(Names::guarded(), "localhost").await.unwrap() > 0);
        // The resolver of the system takes numbers for what they are.
        assert_eq!(ask(Names::any(), "169.254.169.254").await.unwrap(), 1);
        let refused = ask(Names::guarded(), "169.254.169.254").await.unwrap_err();
        assert!(refused.to_string().contains("nothing is ever called"), "{refused}");
    }
}
