//! `Scale` of `autoscaling/v1`: what the scale subresource shows of an object, and how a Scale
//! changes one.

mod view;

mod object;

pub(crate) use object::{ScaleObject, apply_view, document, from_body, view};
pub(crate) use view::ScaleView;
