//! The allocator. jemalloc gives what was freed back within seconds by threads of its own, whatever the
//! threads of the server do; mimalloc kept up to 80 MiB after a load had ended, each page until the
//! thread that owned it happened to free something again.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
