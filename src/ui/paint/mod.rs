//! How things are drawn: text, icons, pictures of people, and the few widgets that views are made of. No model here.

pub mod avatar;
pub mod icons;
pub mod text;
pub mod widgets;
