// A Kafka Streams word count with exactly_once_v2 that checks itself: lines of known words go in while the broker is being
// restarted, and in the end every word must have been counted exactly as often as it was written.
//
//   java -cp 'libs/*' WordCount.java BOOTSTRAP LINES SECONDS STATE_DIR
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.*;

public class WordCount {
  static final int WORDS = 50, WORDS_A_LINE = 5;

  public static void main(String[] args) throws Exception {
    String bootstrap = args[0];
    int lines = Integer.parseInt(args[1]);
    long seconds = Long.parseLong(args[2]);
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      admin.createTopics(List.of(new NewTopic("lines", 4, (short) 1), new NewTopic("counts", 4, (short) 1))).all().get();
    }
    KafkaStreams streams = streams(bootstrap, args[3]);
    streams.start();
    Map<String, Long> expected = new TreeMap<>();
    write(bootstrap, lines, seconds, expected);
    System.out.println("written: " + lines + " lines");
    Map<String, Long> counted = counts(bootstrap, expected);
    streams.close(Duration.ofSeconds(20));
    int wrong = 0;
    for (String word : expected.keySet()) {
      if (!expected.get(word).equals(counted.get(word))) {
        System.out.println(word + ": written " + expected.get(word) + " times, counted " + counted.get(word));
        wrong++;
      }
    }
    System.out.println((expected.size() - wrong) + " passed, " + wrong + " failed");
    System.exit(wrong == 0 ? 0 : 1);
  }

  static KafkaStreams streams(String bootstrap, String stateDir) {
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream("lines", Consumed.with(Serdes.String(), Serdes.String()))
        .flatMapValues(line -> Arrays.asList(line.split(" ")))
        .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
        .count()
        .toStream()
        .to("counts", Produced.with(Serdes.String(), Serdes.Long()));
    Properties config = new Properties();
    config.put("application.id", "word-count");
    config.put("bootstrap.servers", bootstrap);
    config.put("processing.guarantee", "exactly_once_v2");
    config.put("num.stream.threads", "2");
    config.put("commit.interval.ms", "200");
    config.put("replication.factor", "1");
    config.put("state.dir", stateDir);
    config.put("auto.offset.reset", "earliest");
    KafkaStreams streams = new KafkaStreams(builder.build(), config);
    streams.setUncaughtExceptionHandler(error -> {
      System.out.println("a thread is replaced: " + error);
      return StreamThreadExceptionResponse.REPLACE_THREAD;
    });
    return streams;
  }

  static void write(String bootstrap, int lines, long seconds, Map<String, Long> expected) throws InterruptedException {
    Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "linger.ms", 20);
    List<java.util.concurrent.Future<?>> sent = new ArrayList<>();
    Random random = new Random(7);
    try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
      for (int i = 0; i < lines; i++) {
        StringBuilder line = new StringBuilder();
        for (int j = 0; j < WORDS_A_LINE; j++) {
          String word = "w" + random.nextInt(WORDS);
          line.append(j == 0 ? "" : " ").append(word);
          expected.merge(word, 1L, Long::sum);
        }
        sent.add(producer.send(new ProducerRecord<>("lines", "k" + i, line.toString())));
        if (i % 100 == 99) Thread.sleep(seconds * 1000 * 100 / lines);
      }
      for (var one : sent) {
        try {
          one.get();
        } catch (ExecutionException error) {
          throw new IllegalStateException("a line was not written", error);
        }
      }
    }
  }

  /** The last count of every word that is committed, once all of them add up, or two minutes after the last news. */
  static Map<String, Long> counts(String bootstrap, Map<String, Long> expected) {
    long total = expected.values().stream().mapToLong(Long::longValue).sum();
    Map<String, Long> counted = new TreeMap<>();
    Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "group.id", "check", "auto.offset.reset", "earliest",
        "isolation.level", "read_committed");
    try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new LongDeserializer())) {
      consumer.subscribe(List.of("counts"));
      long news = System.nanoTime();
      while (System.nanoTime() - news < 120_000_000_000L) {
        var records = consumer.poll(Duration.ofMillis(500));
        for (var record : records) {
          counted.put(record.key(), record.value());
          news = System.nanoTime();
        }
        long sum = counted.values().stream().mapToLong(Long::longValue).sum();
        if (sum >= total && records.isEmpty()) break;
      }
    }
    return counted;
  }
}
