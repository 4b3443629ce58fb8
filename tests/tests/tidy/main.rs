//! The house rules that no lint can say, as ordinary tests. Each failure names file and line, and what to do.

#[cfg(test)]
mod direction;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod source;
#[cfg(test)]
mod text;
