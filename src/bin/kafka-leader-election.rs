fn main() -> std::process::ExitCode {
    ottla::cli::leader_election::main()
}
