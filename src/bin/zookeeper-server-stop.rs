fn main() -> std::process::ExitCode {
    ottla::cli::zookeeper_server_stop::main()
}
