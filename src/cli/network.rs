//! `network`: which networks were met, and answering whether to join them.

use super::args::NetworkVerb;
use super::backend::Backend;
use super::error::Failure;
use super::text::Out;
use super::{human, json};

/// Does what `network` was asked.
///
/// # Errors
/// `no_such_network`, `bad_name`, and what the backend answers.
pub async fn network(backend: &mut impl Backend, out: &mut Out, verb: &NetworkVerb) -> Result<(), Failure> {
    let network = match verb {
        NetworkVerb::List => {
            let networks = backend.networks().await?;
            return if out.json {
                out.lines(networks.iter().map(json::network))
            } else {
                out.lines(human::networks(&networks, out.style))
            };
        }
        NetworkVerb::Join { id } => backend.join_network(*id).await?,
        NetworkVerb::Apart { id } => backend.keep_apart(*id).await?,
        NetworkVerb::Name { id, name } => backend.name_network(*id, name).await?,
        // Done before a backend is opened.
        NetworkVerb::Key(_) => return Ok(()),
    };
    out.line(&if out.json { json::network(&network) } else { human::network(&network) })
}
