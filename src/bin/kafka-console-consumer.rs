fn main() -> std::process::ExitCode {
    ottla::cli::console_consumer::main()
}
