//! `[webhooks]`: where webhooks may lead, and how many are sent at once.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Flaw, Network};

/// Whom the server may be made to call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Whether an endpoint may be `http`. Bodies are health data: for receivers on this machine or a network of one's own.
    pub allow_http: bool,
    /// Networks that may be called although they are loopback, private or otherwise not of the public internet.
    #[serde(deserialize_with = "one_or_many")]
    pub allowed_networks: Vec<Network>,
    /// Most requests in flight at once, all endpoints together; those that fail or are slow may take half of it.
    pub in_flight_max: usize,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { allow_http: false, allowed_networks: Vec::new(), in_flight_max: 512 }
    }
}

impl Webhooks {
    /// Checks what the types alone cannot.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        if !(2..=65_536).contains(&self.in_flight_max) {
            return Err(Flaw::new("in_flight_max", "must be between 2 and 65536"));
        }
        Ok(())
    }
}

/// Takes a list of networks, or one text with commas between them, which is what an environment variable can say.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<Network>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("networks such as 10.1.0.0/16, with commas between them")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(|part| Network::try_from(part.to_owned()).map_err(E::custom)).collect()
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            let mut networks = Vec::new();
            while let Some(network) = sequence.next_element()? {
                networks.push(network);
            }
            Ok(networks)
        }
    }
    deserializer.deserialize_any(Visitor)
}
