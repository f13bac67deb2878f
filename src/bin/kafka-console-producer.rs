fn main() -> std::process::ExitCode {
    ottla::cli::console_producer::main()
}
