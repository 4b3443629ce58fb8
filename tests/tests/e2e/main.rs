//! The real binary from outside, one module per section of the API, the examples of the documentation, and real
//! watch files. One binary, because each links the whole product.

#[cfg(test)]
mod auth;
#[cfg(test)]
mod bulk_export;
#[cfg(test)]
mod control_copy;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod erasure;
#[cfg(test)]
mod export;
#[cfg(test)]
mod fhir;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod hostile_streams;
#[cfg(test)]
mod importing;
#[cfg(test)]
mod imports;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod nights;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod sql;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod testers;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod watch;
#[cfg(test)]
mod wearables;
#[cfg(test)]
mod webhooks;
