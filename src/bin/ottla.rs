fn main() -> std::process::ExitCode {
    ottla::cli::ottla::main()
}
