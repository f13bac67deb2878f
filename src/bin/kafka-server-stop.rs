fn main() -> std::process::ExitCode {
    ottla::cli::server_stop::main()
}
