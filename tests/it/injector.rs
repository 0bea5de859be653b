//! The injector: what it makes of pods, the webhook, its certificate, and what it tells.

/// An API server that knows little, and remembers everything.
mod api;
/// The webhook's certificate over its whole life.
mod certificate;
/// Pods and what becomes of them, compared with files.
mod golden;
/// The rules of Pod Security, profile "restricted".
mod restricted;
/// What the injector is told, and what is wrong with it.
mod templates;
/// The assembled role, asked over HTTPS as an API server asks.
mod webhook;
