fn main() -> std::process::ExitCode {
    ottla::cli::topics::main()
}
