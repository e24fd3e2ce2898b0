//! `Scale` of `autoscaling/v1`: what the scale subresource shows of an object, and how a Scale
//! changes one.

mod view;

mod object;

pub(crate) use object::{ScaleObject, document, from_body};
pub(crate) use view::ScaleView;
