fn main() -> std::process::ExitCode {
    ottla::cli::reassign_partitions::main()
}
