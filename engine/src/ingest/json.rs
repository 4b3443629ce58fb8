//! The walk over simd-json's tape: each object's fields, handed to the checks.
//!
//! A tape is a flat list of nodes: an object says how many fields it has, and they follow as name, value, name,
//! value; a nested value says how many nodes to skip. Nothing is allocated per point: strings are borrowed from the
//! body, and runs of equal metrics, units, sources and days cost a comparison each.

use simd_json::{Node, StaticNode};

use super::POINTS_MAX;
use super::check::{Check, Raw, Stamp, Target};
use super::validate::Complaint;
use crate::error::Loc;

/// The values of a point's fields; of a field that is there twice, the last.
#[derive(Default)]
struct Fields<'t, 'b> {
    metric: Option<&'t Node<'b>>,
    value: Option<&'t Node<'b>>,
    unit: Option<&'t Node<'b>>,
    recorded_at: Option<&'t Node<'b>>,
    source: Option<&'t Node<'b>>,
    source_device_id: Option<&'t Node<'b>>,
    user_id: Option<&'t Node<'b>>,
}

/// Takes a body `{"data_points":[…]}`.
pub(super) fn bulk<'b, T: Target>(nodes: &[Node<'b>], check: &mut Check<'_, 'b, T>) {
    let [Node::Object { len, .. }, fields @ ..] = nodes else {
        return check.complain(&[], Complaint::NotObject);
    };
    let mut found = None;
    let mut rest = fields;
    for _ in 0..*len {
        let [Node::String(name), value, ..] = rest else { break };
        if *name == "data_points" {
            found = rest.get(1..);
        }
        rest = rest.get(1 + node_count(value)..).unwrap_or_default();
    }
    let way = [Loc::Key("data_points")];
    match found {
        None => check.complain(&way, Complaint::Missing),
        Some([Node::Array { len: 1..=POINTS_MAX, count }, nodes @ ..]) => {
            points(nodes.get(..*count).unwrap_or(nodes), check);
        }
        Some([Node::Array { len, .. }, ..]) => check.complain(&way, Complaint::PointCount(*len)),
        Some(_) => check.complain(&way, Complaint::NotArray),
    }
}

/// Takes a body that is one point.
pub(super) fn single<'b, T: Target>(nodes: &[Node<'b>], check: &mut Check<'_, 'b, T>) {
    point(nodes, &[], check);
}

fn points<'b, T: Target>(nodes: &[Node<'b>], check: &mut Check<'_, 'b, T>) {
    let mut rest = nodes;
    let mut index = 0;
    while !rest.is_empty() && !check.is_full() {
        rest = point(rest, &[Loc::Key("data_points"), Loc::Index(index)], check);
        index += 1;
    }
}

/// Takes the point at the start of `nodes`, whose place in the body is `way`; gives what follows it.
#[inline]
pub(super) fn point<'t, 'b, T: Target>(
    nodes: &'t [Node<'b>],
    way: &[Loc],
    check: &mut Check<'_, 'b, T>,
) -> &'t [Node<'b>] {
    match nodes {
        [Node::Object { len, .. }, after @ ..] => {
            let (fields, behind) = gather(*len, after);
            check.take(fields.raw(), way);
            behind
        }
        [other, ..] => {
            check.complain(way, Complaint::NotObject);
            nodes.get(node_count(other)..).unwrap_or_default()
        }
        [] => nodes,
    }
}

impl<'b> Fields<'_, 'b> {
    #[inline]
    fn raw(&self) -> Raw<'b> {
        Raw {
            metric: text(self.metric),
            value: number(self.value),
            unit: text(self.unit).map(Some),
            recorded_at: text(self.recorded_at).map(Stamp::Text),
            source: text(self.source),
            device: optional(self.source_device_id),
            user: optional(self.user_id),
        }
    }
}

/// Number of nodes that a value takes, itself included.
#[inline]
pub(super) fn node_count(node: &Node<'_>) -> usize {
    match node {
        Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
        _ => 1,
    }
}

/// Sorts the `len` fields at the start of `nodes` into their slots and gives what follows. Unknown names are ignored.
#[inline]
fn gather<'t, 'b>(len: usize, nodes: &'t [Node<'b>]) -> (Fields<'t, 'b>, &'t [Node<'b>]) {
    let mut fields = Fields::default();
    let mut rest = nodes;
    for _ in 0..len {
        let [Node::String(name), value, after @ ..] = rest else { break };
        let slot = match name.as_bytes() {
            b"metric" => Some(&mut fields.metric),
            b"value" => Some(&mut fields.value),
            b"unit" => Some(&mut fields.unit),
            b"recorded_at" => Some(&mut fields.recorded_at),
            b"source" => Some(&mut fields.source),
            b"source_device_id" => Some(&mut fields.source_device_id),
            b"user_id" => Some(&mut fields.user_id),
            _ => None,
        };
        if let Some(slot) = slot {
            *slot = Some(value);
        }
        rest = after.get(node_count(value) - 1..).unwrap_or_default();
    }
    (fields, rest)
}

#[inline]
fn text<'b>(node: Option<&Node<'b>>) -> Result<&'b str, Complaint> {
    match node {
        Some(Node::String(text)) => Ok(text),
        Some(_) => Err(Complaint::NotString),
        None => Err(Complaint::Missing),
    }
}

#[inline]
fn optional<'b>(node: Option<&Node<'b>>) -> Result<Option<&'b str>, Complaint> {
    match node {
        None | Some(Node::Static(StaticNode::Null)) => Ok(None),
        node => text(node).map(Some),
    }
}

#[expect(clippy::cast_precision_loss, reason = "whole numbers beyond 2^53 are beyond every bound")]
#[inline]
fn number(node: Option<&Node<'_>>) -> Result<f64, Complaint> {
    match node {
        Some(Node::Static(StaticNode::F64(value))) => Ok(*value),
        Some(Node::Static(StaticNode::I64(value))) => Ok(*value as f64),
        Some(Node::Static(StaticNode::U64(value))) => Ok(*value as f64),
        Some(_) => Err(Complaint::NotNumber),
        None => Err(Complaint::Missing),
    }
}
