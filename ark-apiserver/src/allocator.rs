//! The global allocator: jemalloc. It returns freed pages to the system within seconds from
//! background threads, independent of the server's threads. mimalloc kept up to 80 MiB after a load
//! ended: it returns a page only when the thread that owns the page frees something.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
